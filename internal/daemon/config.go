//go:build linux || darwin || freebsd

package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
)

const (
	// maxConfig bounds the file of the configuration, in bytes.
	maxConfig = 1 << 20
	// defaultDrain is how long a shutdown waits for running commands.
	defaultDrain = 30 * time.Second
	// networkCommands is how many commands a session over TCP may run at once,
	// unless it is configured.
	networkCommands = 64
)

// settings is what rexd does, from the configuration and the flags.
type settings struct {
	file        string // that was read; empty if there was none
	listen      []address
	maxCommands int // of one session at once; 0 is the default
	drain       time.Duration
	level       slog.Level
	levelSet    bool   // by the file or a flag
	tree        string // how processes are held; empty chooses
	login       loginSettings
	services    []serviceSettings
	keptKeys    map[string]string // bound to services since before a reload
}

// localCommands bounds the commands of a session that needed no network.
func (s *settings) localCommands() int { return cmp.Or(s.maxCommands, proto.MaxCommands) }

// networkCommands bounds those of a session over TCP.
func (s *settings) networkCommands() int { return cmp.Or(s.maxCommands, networkCommands) }

// onNetwork are the addresses of TCP where somebody can log in.
func (s *settings) onNetwork() []address {
	all := slices.Clone(s.listen)
	for _, one := range s.services {
		if one.login {
			all = append(all, one.listen...)
		}
	}
	return slices.DeleteFunc(all, func(a address) bool { return a.tcp == "" })
}

// listens reports whether there is any address at all.
func (s *settings) listens() bool {
	return len(s.listen) > 0 || slices.ContainsFunc(s.services, func(one serviceSettings) bool { return len(one.listen) > 0 })
}

// A file is the configuration as it is written.
type file struct {
	Listen      []string `toml:"listen"`
	MaxCommands *int64   `toml:"max_commands"`
	Drain       *string  `toml:"drain"`
	LogLevel    *string  `toml:"log_level"`
	Tree        *string  `toml:"tree"`

	HostKeys               []string `toml:"host_keys"`
	AuthorizedKeys         []string `toml:"authorized_keys"`
	AllowUsers             []string `toml:"allow_users"`
	AllowGroups            []string `toml:"allow_groups"`
	DenyUsers              []string `toml:"deny_users"`
	DenyGroups             []string `toml:"deny_groups"`
	PermitRoot             *string  `toml:"permit_root"`
	TrustedUserCAKeys      *string  `toml:"trusted_user_ca_keys"`
	RevokedKeys            *string  `toml:"revoked_keys"`
	StrictModes            *bool    `toml:"strict_modes"`
	PermitUserEnvironment  *bool    `toml:"permit_user_environment"`
	SSHDPolicyAcknowledged *bool    `toml:"sshd_policy_acknowledged"`

	Services []serviceTable `toml:"service"`
}

// A setter takes the value of a key.
type setter struct {
	key  string
	set  func() error
	hint string // about a value that it does not take; may be empty
}

// wanted says what kind of value each key takes.
func wanted(key string) string {
	switch key {
	case "listen":
		return `an array of strings, such as [":7390", "unix:/run/rex/rexd.sock"]`
	case "service.listen":
		return `an array of strings, such as ["127.0.0.1:9999", "unix:/run/rex/name.sock"]`
	case "service.command":
		return `an array of strings, such as ["tr", "a-z", "A-Z"]`
	case "service.only_keys":
		return `an array of fingerprints, such as ["SHA256:…"]`
	case "service":
		return "tables, [[service]]"
	case "service.environment":
		return `a table of strings, such as { LANG = "C.UTF-8" }`
	case "service.pty", "service.public", "service.login":
		return "true or false"
	case "service.max_instances", "service.max_per_source", "service.max_input", "service.max_output":
		return "an integer"
	case "service.idle", "service.timeout", "service.linger", "service.linger_idle":
		return `a string, such as "30s"`
	case "allow_users", "allow_groups", "deny_users", "deny_groups", "service.allow_users", "service.allow_groups":
		return `an array of names, such as ["alice"]`
	case "host_keys", "authorized_keys":
		return "an array of strings, each a file"
	case "permit_root":
		return `"yes", "no" or "forced-commands-only"`
	case "strict_modes", "permit_user_environment", "sshd_policy_acknowledged":
		return "true or false"
	case "max_commands":
		return "an integer"
	case "drain":
		return `a string, such as "30s"`
	}
	return "a string"
}

// loadSettings reads the file that the flags name, or the default one if it is
// there, and puts the flags on top. withDefault says whether the default file
// counts. Its errors are usage errors.
func loadSettings(f *flags, getenv func(string) string, withDefault bool) (*settings, error) {
	s := &settings{drain: defaultDrain}
	name := f.config
	if name == "" && withDefault {
		name = defaultFile(os.Geteuid(), getenv)
	}
	if name != "" {
		switch doc, err := readConfig(name); {
		case errors.Is(err, fs.ErrNotExist) && f.config == "":
		case err != nil:
			return nil, usageErrorf(hintConfig(name, err, getenv), "cannot read the configuration: %w", err)
		default:
			if err := s.apply(name, doc); err != nil {
				return nil, err
			}
		}
	}
	return s, s.override(f)
}

// defaultFile is where the configuration of uid is; empty if it has no home.
func defaultFile(uid int, getenv func(string) string) string {
	if uid == 0 {
		return "/etc/rex/rexd.toml"
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Join(home, ".config/rex/rexd.toml")
}

// hintConfig is about the file that is called name.
func hintConfig(name string, err error, getenv func(string) string) string {
	usual := defaultFile(os.Geteuid(), getenv)
	e, exposed := errors.AsType[*transport.ExposedError](err)
	switch {
	case exposed && isFile(e.Path) && e.Writable:
		return "chmod go-w " + shellQuote(e.Path)
	case exposed && isFile(e.Path):
		return "chown " + userName() + " " + shellQuote(e.Path)
	case exposed && os.Geteuid() == 0 && name != usual:
		return "move the file to " + usual + ", where only root writes"
	case exposed:
		return "others can change " + e.Path + "; have the file where only " + userName() + " writes"
	case usual != "" && errors.Is(err, fs.ErrNotExist):
		return "name a file that is there, or leave out --config: then it is " + usual
	}
	return ""
}

// readConfig reads a file that nobody else can write: it decides who may log in.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := transport.CheckFile(f); err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(doc) > maxConfig {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("more than %d bytes", maxConfig)}
	}
	return doc, err
}

// apply takes the settings from the text of a file.
func (s *settings) apply(name string, doc []byte) error {
	var f file
	if err := toml.NewDecoder(bytes.NewReader(doc)).DisallowUnknownFields().Decode(&f); err != nil {
		return decodeError(name, err)
	}
	s.file = name
	for _, set := range append([]setter{
		{key: "listen", set: func() error { return s.setListen(f.Listen) }, hint: hintAddress},
		{key: "max_commands", set: func() error { return s.setMaxCommands(f.MaxCommands) }},
		{key: "drain", set: func() error { return s.setDrain(f.Drain) }},
		{key: "log_level", set: func() error { return s.setLevel(f.LogLevel) }},
		{key: "tree", set: func() error { return s.setTree(f.Tree) }},
	}, s.login.setters(&f)...) {
		if err := set.set(); err != nil {
			return valueError(name, doc, place{0, set.key}, set.hint, err)
		}
	}
	return s.setServices(name, doc, f.Services)
}

// override puts the flags on top of the file.
func (s *settings) override(f *flags) error {
	if f.level != nil {
		s.level, s.levelSet = *f.level, true
	}
	if err := s.login.override(f); err != nil {
		return err
	}
	if len(f.listen) == 0 {
		return nil
	}
	if err := s.setListen(f.listen); err != nil {
		return usageErrorf(hintAddress, "--listen: %w", err)
	}
	for _, addr := range s.listen {
		if owner := takenBy(addr, nil, s.services); owner != "" {
			return usageErrorf(hintAddress, "--listen: %q is an address of %s", addr, owner)
		}
	}
	return nil
}

func (s *settings) setListen(texts []string) (err error) {
	s.listen, err = parseAddresses(texts)
	return err
}

func (s *settings) setMaxCommands(n *int64) error {
	if n == nil {
		return nil
	}
	if *n < 1 || *n > proto.MaxCommands {
		return fmt.Errorf("%d is not between 1 and %d", *n, proto.MaxCommands)
	}
	s.maxCommands = int(*n)
	return nil
}

func (s *settings) setDrain(v *string) error {
	if v == nil {
		return nil
	}
	d, err := parseTime(*v)
	s.drain = d
	return err
}

// parseTime takes no negative time.
func parseTime(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%q is not a duration, such as "30s" or "1m30s"`, v)
	case d < 0:
		return 0, fmt.Errorf("%q is negative", v)
	}
	return d, nil
}

func (s *settings) setLevel(v *string) error {
	if v == nil {
		return nil
	}
	level, err := parseLevel(*v)
	s.level, s.levelSet = level, true
	return err
}

func (s *settings) setTree(v *string) error {
	switch {
	case v == nil, *v == "auto":
		s.tree = ""
	case slices.Contains([]string{"cgroup", "keeper", "group"}, *v):
		s.tree = *v
	default:
		return fmt.Errorf("%q is not auto, cgroup, keeper or group", *v)
	}
	return nil
}

func parseLevel(v string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[v]
	if !ok {
		return 0, fmt.Errorf("%q is not debug, info, warn or error", v)
	}
	return level, nil
}
