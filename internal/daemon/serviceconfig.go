//go:build linux || darwin || freebsd

package daemon

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rexec/rex/internal/auth/authorize"
	"github.com/rexec/rex/internal/service"
	"github.com/rexec/rex/proto"
)

// serviceSettings is one [[service]] of the configuration.
type serviceSettings struct {
	name    string
	command []string
	user    string // empty: whoever asks
	dir     string
	env     []string // sorted
	pty     bool
	limits  service.Limits
	linger  service.Linger

	allowUsers, allowGroups, onlyKeys []string

	endpoints
}

// endpoints are where a service listens itself.
type endpoints struct {
	listen []address
	mode   fs.FileMode // of Unix sockets; 0 is the default
	group  string      // of Unix sockets; empty leaves it as it is
	public bool        // addresses of TCP may be others than loopback
	login  bool        // they speak rex
}

// A serviceTable is a [[service]] as it is written.
type serviceTable struct {
	Name         *string           `toml:"name"`
	Command      []string          `toml:"command"`
	User         *string           `toml:"user"`
	Directory    *string           `toml:"directory"`
	Environment  map[string]string `toml:"environment"`
	PTY          *bool             `toml:"pty"`
	MaxInstances *int64            `toml:"max_instances"`
	MaxPerSource *int64            `toml:"max_per_source"`
	Idle         *string           `toml:"idle"`
	Timeout      *string           `toml:"timeout"`
	MaxInput     *int64            `toml:"max_input"`
	MaxOutput    *int64            `toml:"max_output"`
	LingerIdle   *string           `toml:"linger_idle"`
	Linger       *string           `toml:"linger"`
	Listen       []string          `toml:"listen"`
	Mode         *string           `toml:"mode"`
	Group        *string           `toml:"group"`
	Public       *bool             `toml:"public"`
	Login        *bool             `toml:"login"`
	AllowUsers   []string          `toml:"allow_users"`
	AllowGroups  []string          `toml:"allow_groups"`
	OnlyKeys     []string          `toml:"only_keys"`
}

const (
	hintPublic = "public = true beside it lets everybody in who reaches that address, login = true those who log in to rexd"
	hintListen = `it is about where the service listens: listen = ["127.0.0.1:9999"]`
	hintUnix   = `they are about Unix sockets: listen = ["unix:/run/rex/name.sock"]`
)

// setServices takes the services of a file.
func (s *settings) setServices(name string, doc []byte, tables []serviceTable) error {
	for i, t := range tables {
		one := serviceSettings{limits: service.Limits{Idle: service.DefaultIdle}}
		for _, set := range one.setters(&t) {
			if err := set.set(); err != nil {
				return valueError(name, doc, place{i + 1, set.key}, set.hint, err)
			}
		}
		s.services = append(s.services, one)
		if err := s.checkLast(); err != nil {
			return valueError(name, doc, place{i + 1, err.key}, "", err)
		}
	}
	return nil
}

// setters are the keys of a service. What depends on another comes behind it.
func (s *serviceSettings) setters(t *serviceTable) []setter {
	return []setter{
		{key: "name", set: func() error { return s.setName(t.Name) }},
		{key: "command", set: func() error { return s.setCommand(t.Command) }},
		{key: "user", set: func() error { return setName(&s.user, t.User) }},
		{key: "directory", set: func() error { return setFile(&s.dir, t.Directory) }},
		{key: "environment", set: func() error { return s.setEnvironment(t.Environment) }},
		{key: "pty", set: func() error { return setBool(&s.pty, t.PTY) }},
		{key: "max_instances", set: func() error { return setCount(&s.limits.Instances, t.MaxInstances, maxInstances) }},
		{key: "max_per_source", set: func() error { return setCount(&s.limits.PerSource, t.MaxPerSource, maxInstances) }},
		{key: "idle", set: func() error { return setTime(&s.limits.Idle, t.Idle) }},
		{key: "timeout", set: func() error { return setTime(&s.limits.Total, t.Timeout) }},
		{key: "max_input", set: func() error { return setCount(&s.limits.Input, t.MaxInput, maxBytes) }},
		{key: "max_output", set: func() error { return setCount(&s.limits.Output, t.MaxOutput, maxBytes) }},
		{key: "linger_idle", set: func() error { return setTime(&s.linger.Idle, t.LingerIdle) }},
		{key: "linger", set: func() error { return setTime(&s.linger.Total, t.Linger) }},
		{key: "public", set: func() error { return setBool(&s.public, t.Public) }},
		{key: "login", set: func() error { return setBool(&s.login, t.Login) }},
		{key: "listen", set: func() error { return s.setListen(t.Listen) }, hint: hintAddress},
		{key: "linger_idle", set: s.needListen(t.LingerIdle != nil), hint: hintListen},
		{key: "linger", set: s.needListen(t.Linger != nil), hint: hintListen},
		{key: "public", set: s.needListen(t.Public != nil), hint: hintListen},
		{key: "login", set: s.needListen(t.Login != nil), hint: hintListen},
		{key: "listen", set: s.checkListen, hint: hintPublic},
		{key: "mode", set: func() error { return s.setMode(t.Mode) }, hint: hintUnix},
		{key: "group", set: func() error { return s.setGroup(t.Group) }, hint: hintUnix},
		{key: "allow_users", set: func() error { return setList(&s.allowUsers, t.AllowUsers, authorize.CheckName) }},
		{key: "allow_groups", set: func() error { return setList(&s.allowGroups, t.AllowGroups, authorize.CheckName) }},
		{key: "only_keys", set: func() error { return setList(&s.onlyKeys, t.OnlyKeys, checkFingerprint) }, hint: "ssh-keygen -l -f KEY.pub prints it"},
	}
}

const (
	maxInstances = 100_000
	maxBytes     = 1 << 60
)

// A keyError is about the value of a key.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// checkLast looks at what the last service must not have in common with others.
func (s *settings) checkLast() *keyError {
	last := len(s.services) - 1
	one, others := &s.services[last], s.services[:last]
	for _, o := range others {
		if o.name == one.name {
			return &keyError{"name", fmt.Errorf("%q is the name of another service", one.name)}
		}
		for _, key := range one.onlyKeys {
			if slices.Contains(o.onlyKeys, key) {
				return &keyError{"only_keys", fmt.Errorf("%s is one of the service %q", key, o.name)}
			}
		}
	}
	for _, addr := range one.listen {
		if owner := takenBy(addr, s.listen, others); owner != "" {
			return &keyError{"listen", fmt.Errorf("%q is an address of %s", addr, owner)}
		}
	}
	return nil
}

// takenBy says who else listens there, empty if nobody does.
func takenBy(addr address, own []address, others []serviceSettings) string {
	if slices.ContainsFunc(own, addr.same) {
		return "rexd itself"
	}
	for _, o := range others {
		if slices.ContainsFunc(o.listen, addr.same) {
			return fmt.Sprintf("the service %q", o.name)
		}
	}
	return ""
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (s *serviceSettings) setName(v *string) error {
	switch {
	case v == nil:
		return errors.New("is missing")
	case !serviceName.MatchString(*v) || len(*v) > proto.MaxName:
		return fmt.Errorf("%q is not a letter or digit and then letters, digits, '.', '_' and '-', %d in all", *v, proto.MaxName)
	}
	s.name = *v
	return nil
}

// setCommand takes a program that is meant the same wherever the service runs.
func (s *serviceSettings) setCommand(argv []string) error {
	switch {
	case len(argv) == 0 || argv[0] == "":
		return errors.New("is missing")
	case strings.Contains(argv[0], "/") && !filepath.IsAbs(argv[0]):
		return fmt.Errorf("%q is neither an absolute path nor a name to look up in PATH", argv[0])
	case slices.ContainsFunc(argv, hasNUL):
		return errors.New("a NUL byte in an argument")
	}
	s.command = argv
	return nil
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

func setName(dst, v *string) error {
	if v == nil {
		return nil
	}
	*dst = *v
	return authorize.CheckName(*v)
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (s *serviceSettings) setEnvironment(v map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		switch {
		case !variableName.MatchString(name):
			return fmt.Errorf("%q is no name of a variable", name)
		case hasNUL(v[name]):
			return fmt.Errorf("a NUL byte in the value of %s", name)
		case strings.HasPrefix(name, "REX_"):
			return fmt.Errorf("%s: the names that begin with REX_ are rexd's own", name)
		}
		s.env = append(s.env, name+"="+v[name])
	}
	return nil
}

func setCount[T int | int64](dst *T, v *int64, most int64) error {
	if v == nil {
		return nil
	}
	if *v < 1 || *v > most {
		return fmt.Errorf("%d is not between 1 and %d", *v, most)
	}
	*dst = T(*v)
	return nil
}

// setTime takes "0s" for none.
func setTime(dst *time.Duration, v *string) error {
	if v == nil {
		return nil
	}
	d, err := parseTime(*v)
	if *dst = d; d == 0 {
		*dst = -1
	}
	return err
}

func (s *serviceSettings) setListen(texts []string) (err error) {
	s.listen, err = parseAddresses(texts)
	return err
}

// needListen refuses a key that is written and would mean nothing.
func (s *serviceSettings) needListen(written bool) func() error {
	return func() error {
		if written && len(s.listen) == 0 {
			return errors.New("the service listens nowhere")
		}
		return nil
	}
}

// checkListen looks at who could connect.
func (s *serviceSettings) checkListen() error {
	for _, addr := range s.listen {
		switch {
		case s.login && addr.path != "":
			return fmt.Errorf("%q: login = true is for TCP; through a Unix socket that rexd listens on, rex service runs it", addr)
		case !s.login && !s.public && addr.path == "" && !isLoopback(addr.tcp):
			return fmt.Errorf("%q is not loopback: everybody who reaches it could run the program", addr)
		}
	}
	return nil
}

// isLoopback reports whether a host:port is reached from this machine alone.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ipErr == nil && ip.Unmap().IsLoopback())
}

func (s *serviceSettings) onUnix() bool {
	return slices.ContainsFunc(s.listen, func(a address) bool { return a.path != "" })
}

func (s *serviceSettings) setMode(v *string) error {
	if v == nil {
		return nil
	}
	mode, err := strconv.ParseUint(*v, 8, 32)
	switch {
	case err != nil || mode == 0 || mode&^0o666 != 0:
		return fmt.Errorf(`%q is not a mode of a socket, such as "0660"`, *v)
	case !s.onUnix():
		return errors.New("the service listens on no Unix socket")
	}
	s.mode = fs.FileMode(mode)
	return nil
}

func (s *serviceSettings) setGroup(v *string) error {
	if v != nil && !s.onUnix() {
		return errors.New("the service listens on no Unix socket")
	}
	return setName(&s.group, v)
}

// checkFingerprint wants one of a key, as ssh-keygen prints it.
func checkFingerprint(text string) error {
	sum, ok := strings.CutPrefix(text, "SHA256:")
	if raw, err := base64.RawStdEncoding.Strict().DecodeString(sum); !ok || err != nil || len(raw) != 32 {
		return fmt.Errorf("%q is not the fingerprint of a key, SHA256:…", text)
	}
	return nil
}

// serviceKeys are the keys that are bound to services, which may be gone.
func (s *settings) serviceKeys() map[string]string {
	keys := make(map[string]string)
	maps.Copy(keys, s.keptKeys)
	for _, one := range s.services {
		for _, key := range one.onlyKeys {
			keys[key] = one.name
		}
	}
	return keys
}
