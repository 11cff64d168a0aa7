//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth/authorize"
	"github.com/rexec/rex/internal/service"
)

// groupSystem has another account of root's, and one group.
type groupSystem struct{ authorize.System }

func (g groupSystem) Lookup(ctx context.Context, name string) (*account.Account, error) {
	if name == "toor" {
		return &account.Account{Name: name}, nil
	}
	return g.System.Lookup(ctx, name)
}

func (groupSystem) GroupID(name string) (int, bool) { return 50, name == "ops" }

const (
	fingerprint  = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	fingerprint2 = "SHA256:BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// parseServices reads a configuration that is right.
func parseServices(t *testing.T, text string) *settings {
	t.Helper()
	s := &settings{}
	if err := s.apply("f", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServiceConfigGood(t *testing.T) {
	s := parseServices(t, `
listen = [":7390"]
[[service]]
name = "full"
command = ["/bin/x", "a  b", ""]
user = "alice"
directory = "/srv"
environment = { B = "2 =", A = "" }
pty = true
max_instances = 5
max_per_source = 2
idle = "1m"
timeout = "0s"
max_input = 1_000
max_output = 1
linger_idle = "0s"
linger = "10s"
listen = ["127.0.1.1:9999", "[::1]:9999", "localhost:9999", "unix:/run/x"]
mode = "0660"
group = "www"
allow_users = ["alice"]
allow_groups = ["ops"]
only_keys = ["`+fingerprint+`"]

[[service]]
name = "min-1.0_x"
command = ["cat"]
listen = ["127.0.1.2:9999", "0.0.0.0:1"]
public = true

[[service]]
name = "in"
command = ["cat"]
login = true
listen = ["0.0.0.0:2"]
[service.environment]
A = "1"
`)
	want := []serviceSettings{
		{
			name: "full", command: []string{"/bin/x", "a  b", ""}, user: "alice", dir: "/srv", env: []string{"A=", "B=2 ="}, pty: true,
			limits:     service.Limits{Instances: 5, PerSource: 2, Idle: time.Minute, Total: -1, Input: 1000, Output: 1},
			linger:     service.Linger{Idle: -1, Total: 10 * time.Second},
			allowUsers: []string{"alice"}, allowGroups: []string{"ops"}, onlyKeys: []string{fingerprint},
			endpoints: endpoints{listen: []address{{tcp: "127.0.1.1:9999"}, {tcp: "[::1]:9999"}, {tcp: "localhost:9999"}, {path: "/run/x"}}, mode: 0o660, group: "www"},
		},
		{name: "min-1.0_x", command: []string{"cat"}, endpoints: endpoints{listen: []address{{tcp: "127.0.1.2:9999"}, {tcp: "0.0.0.0:1"}}, public: true}, limits: service.Limits{Idle: service.DefaultIdle}},
		{name: "in", command: []string{"cat"}, env: []string{"A=1"}, endpoints: endpoints{listen: []address{{tcp: "0.0.0.0:2"}}, login: true}, limits: service.Limits{Idle: service.DefaultIdle}},
	}
	if !reflect.DeepEqual(s.services, want) {
		t.Errorf("%+v\nwant %+v", s.services, want)
	}
	if got := fmt.Sprint(s.onNetwork()); got != "[:7390 0.0.0.0:2]" || !s.listens() {
		t.Errorf("logins at %s", got)
	}
	if got := s.serviceKeys(); !reflect.DeepEqual(got, map[string]string{fingerprint: "full"}) {
		t.Errorf("keys %v", got)
	}
}

// first has what another service must not have.
const first = "[[service]]\nname = 'first'\ncommand = ['cat']\nlisten = ['127.0.0.1:1', 'unix:/f']\nonly_keys = ['" + fingerprint2 + "']\n"

// Every key with a value that it does not take, with its place.
func TestServiceConfigBad(t *testing.T) {
	const good = "name = 'a'\ncommand = ['cat']\n"
	for _, tt := range []struct {
		table string // of the second service
		place string
		want  string
	}{
		{"command = ['cat']", "f:7: name: is missing", "\n7| [[service]]\n | ~~~~~~~~~~~"},
		{"name = ''\ncommand = ['cat']", "f:8: name", "is not a letter or digit and then"},
		{"name = 'a b'\ncommand = ['cat']", "f:8: name", `"a b" is not`},
		{"name = '-a'\ncommand = ['cat']", "f:8: name", "is not a letter"},
		{"name = '" + strings.Repeat("a", 65) + "'\ncommand = ['cat']", "f:8: name", "64 in all"},
		{"name = 1", "f:8:8: service.name", "integer, not a string"},
		{"name = 'first'\ncommand = ['cat']", "f:8: name", `"first" is the name of another service` + "\n8| name = 'first'\n | ~~~~"},
		{"name = 'a'", "f:7: command", "is missing"},
		{"name = 'a'\ncommand = []", "f:9: command", "is missing"},
		{"name = 'a'\ncommand = ['']", "f:9: command", "is missing"},
		{"name = 'a'\ncommand = 'cat'", "f:9:11: service.command", `not an array of strings, such as ["tr", "a-z", "A-Z"]`},
		{"name = 'a'\ncommand = ['./cat']", "f:9: command", `"./cat" is neither an absolute path nor a name`},
		{"name = 'a'\ncommand = [\"cat\", \"\\u0000\"]", "f:9: command", "NUL byte"},
		{good + "user = ''", "f:10: user", "empty name"},
		{good + "user = 'a b'", "f:10: user", "is not a name"},
		{good + "directory = 'srv'", "f:10: directory", "is not an absolute path"},
		{good + "environment = ['A=1']", "f:10:15: service.environment", `not a table of strings`},
		{good + "environment = { A = 1 }", "f:10:", "a table of strings"},
		{good + "environment = { 'A B' = '1' }", "f:10: environment", `"A B" is no name of a variable`},
		{good + "[service.environment]\n1A = '1'", "f:10: environment", `"1A" is no name of a variable`},
		{good + "environment.REX_X = '1'", "f:10: environment", "rexd's own"},
		{good + "environment = { A = \"\\u0000\" }", "f:10: environment", "NUL byte"},
		{good + "pty = 'yes'", "f:10:7: service.pty", "string, not true or false"},
		{good + "max_instances = 0", "f:10: max_instances", "0 is not between 1 and 100000"},
		{good + "max_instances = '1'", "f:10:17: service.max_instances", "string, not an integer"},
		{good + "max_per_source = -1", "f:10: max_per_source", "-1 is not between 1 and 100000"},
		{good + "idle = '1'", "f:10: idle", `"1" is not a duration`},
		{good + "idle = 1", "f:10:8: service.idle", `integer, not a string, such as "30s"`},
		{good + "timeout = '-1s'", "f:10: timeout", `"-1s" is negative`},
		{good + "max_input = 0", "f:10: max_input", "0 is not between 1 and"},
		{good + "max_output = -5", "f:10: max_output", "-5 is not between 1 and"},
		{good + "linger_idle = 'x'", "f:10: linger_idle", "is not a duration"},
		{good + "linger = ''", "f:10: linger", "is not a duration"},
		{good + "listen = 'x'", "f:10:10: service.listen", "string, not an array of strings"},
		{good + "listen = ['9999']", "f:10: listen", "is not an address"},
		{good + "listen = ['127.0.0.1:1', '127.0.0.1:1']", "f:10: listen", "named twice"},
		{good + "listen = ['[::1]:1', '[0::1]:1']", "f:10: listen", "named twice"},
		{good + "listen = [':9999']", "f:10: listen", `":9999" is not loopback: everybody`},
		{good + "listen = ['[fd00::5]:9999']", "f:10: listen", "is not loopback"},
		{good + "listen = ['example.org:9999']", "f:10: listen", "is not loopback"},
		{good + "public = false\nlisten = ['0.0.0.0:1']", "f:11: listen", "is not loopback"},
		{good + "login = true\nlisten = ['unix:/s']", "f:11: listen", "login = true is for TCP"},
		{good + "listen = ['127.0.0.1:7390']", "f:10: listen", `"127.0.0.1:7390" is an address of rexd itself`},
		{good + "listen = ['127.0.0.1:1']", "f:10: listen", `"127.0.0.1:1" is an address of the service "first"`},
		{good + "listen = ['unix:/f']", "f:10: listen", `"unix:/f" is an address of the service "first"`},
		{good + "mode = '0660'", "f:10: mode", "listens on no Unix socket"},
		{good + "listen = ['unix:/s']\nmode = '0770'", "f:11: mode", `"0770" is not a mode of a socket`},
		{good + "listen = ['unix:/s']\nmode = 'rw'", "f:11: mode", "is not a mode"},
		{good + "listen = ['unix:/s']\nmode = 432", "f:11:8: service.mode", "integer, not a string"},
		{good + "group = 'www'", "f:10: group", "listens on no Unix socket"},
		{good + "listen = ['unix:/s']\ngroup = ''", "f:11: group", "empty name"},
		{good + "linger_idle = '1s'", "f:10: linger_idle", "the service listens nowhere"},
		{good + "listen = []\nlinger = '1s'", "f:11: linger", "the service listens nowhere"},
		{good + "public = true", "f:10: public", "the service listens nowhere"},
		{good + "login = false", "f:10: login", "the service listens nowhere"},
		{good + "public = 1", "f:10:10: service.public", "not true or false"},
		{good + "login = 1", "f:10:9: service.login", "not true or false"},
		{good + "allow_users = ['a*']", "f:10: allow_users", "is a pattern"},
		{good + "allow_users = 'a'", "f:10:15: service.allow_users", "not an array of names"},
		{good + "allow_groups = ['a', 'a']", "f:10: allow_groups", "named twice"},
		{good + "only_keys = ['MD5:00']", "f:10: only_keys", "is not the fingerprint of a key"},
		{good + "only_keys = ['" + fingerprint + "A']", "f:10: only_keys", "is not the fingerprint"},
		{good + "only_keys = ['SHA256:AAAA']", "f:10: only_keys", "is not the fingerprint"},
		{good + "only_keys = ['" + fingerprint2 + "']", "f:10: only_keys", `is one of the service "first"`},
		{good + "color = 'x'", "f:10:1: unknown key service.color", "unknown field"},
	} {
		text := "listen = ['127.0.0.1:7390']\n" + first + "[[service]]\n" + tt.table
		err := (&settings{}).apply("f", []byte(text))
		if err == nil {
			t.Errorf("%q: no error", tt.table)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, tt.place) || !strings.Contains(got, tt.want) {
			t.Errorf("%q:\n%s\nwant %q %q", tt.table, got, tt.place, tt.want)
		}
		if strings.Contains(err.Error(), "struct field") || strings.Contains(err.Error(), "daemon.") || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, status %d", tt.table, err, exitCode(err))
		}
	}
}

// Flags win, but not over what a service has.
func TestServiceBesideFlags(t *testing.T) {
	name := writeConfig(t, first)
	_, err := loadSettings(&flags{config: name, listen: []string{"unix:/f"}}, os.Getenv, false)
	if err == nil || err.Error() != `--listen: "unix:/f" is an address of the service "first"` {
		t.Error(err)
	}
}

// TestServiceKeysInHint keeps the hint and the keys together.
func TestServiceKeysInHint(t *testing.T) {
	for f := range reflect.TypeFor[serviceTable]().Fields() {
		if key := f.Tag.Get("toml"); !strings.Contains(hintServiceKeys, key) {
			t.Errorf("%s is not in the hint", key)
		}
	}
	err := (&settings{}).apply("f", []byte("[[service]]\nx = 1"))
	if hintFor(err) != hintServiceKeys {
		t.Errorf("hint %q of %v", hintFor(err), err)
	}
}

func TestServiceHints(t *testing.T) {
	for table, want := range map[string]string{
		"listen = [':1']":                         hintPublic,
		"listen = ['1']":                          hintAddress,
		"group = 'www'":                           hintUnix,
		"only_keys = ['x']":                       "ssh-keygen -l -f KEY.pub prints it",
		"listen = ['unix:/f']\nmode = '0777'":     hintUnix,
		"login = true\nlisten = ['unix:/x']":      hintPublic,
		"login = true":                            hintListen,
		"max_instances = 0":                       "",
		"environment = { REX_SERVICE = 'other' }": "",
	} {
		err := (&settings{}).apply("f", []byte("[[service]]\nname = 'a'\ncommand = ['cat']\n"+table))
		if err == nil || hintFor(err) != want {
			t.Errorf("%q: %v, hint %q, want %q", table, err, hintFor(err), want)
		}
	}
}

// Whom services run as, and who may.
func TestServiceAccounts(t *testing.T) {
	system := func(bool) authorize.System { return groupSystem{newFakeSystem(false)} }
	for _, tt := range []struct {
		uid   int
		table string
		user  string // of the service; empty: whoever asks
		want  string // of the error
		hint  string
	}{
		{0, "", "", "", ""},
		{0, "user = 'alice'", "alice", "", ""},
		{0, "user = 'root'", "root", "", ""},
		{0, "user = 'toor'", "", `f:4: user: "toor" is root under another name`, `user = "root", if that is meant`},
		{0, "user = 'ghost'", "", `f:4: user: "ghost": no such account`, "getent passwd ghost"},
		{0, "listen = ['127.0.0.1:1']", "", `f:4: listen: nobody logs in at "127.0.0.1:1", so it must be said who runs`, `user = "nobody", or another account`},
		{0, "listen = ['127.0.0.1:1']\nlogin = true", "", "", ""},
		{0, "listen = ['127.0.0.1:1']\nuser = 'alice'", "alice", "", ""},
		{1000, "listen = ['127.0.0.1:1']", "", "", ""},
		{1000, "user = 'alice'", "", "", ""}, // who runs rexd
		{1001, "user = 'alice'", "", `f:4: user: this rexd runs as user 1001 and cannot run programs as "alice"`, "leave it out, or have root's rexd run the service"},
		{1000, "user = 'ghost'", "", "no such account", "getent passwd ghost"},
		{0, "allow_groups = ['ops']", "", "", ""},
		{0, "allow_groups = ['opps']", "", `f:4: allow_groups: there is no group "opps"`, "getent group"},
		{0, "listen = ['unix:/x']\nuser = 'alice'\ngroup = 'opps'", "", `: group: there is no group "opps"`, "getent group"},
	} {
		doc := "[[service]]\nname = 'a'\ncommand = ['cat']\n" + tt.table
		s := parseServices(t, doc)
		s.file = writeConfig(t, doc)
		list, err := (&host{uid: tt.uid, system: system}).services(context.Background(), s)
		if tt.want != "" {
			text := ""
			if err != nil {
				text = strings.ReplaceAll(err.Error(), s.file, "f")
			}
			if !strings.Contains(text, tt.want) || hintFor(err) != tt.hint {
				t.Errorf("%d %q: %v, hint %q", tt.uid, tt.table, err, hintFor(err))
			}
			continue
		}
		if err != nil || len(list) != 1 {
			t.Errorf("%d %q: %v", tt.uid, tt.table, err)
			continue
		}
		l := list[0].service.Login
		if (l != nil) != (tt.user != "") || l != nil && l.User != tt.user {
			t.Errorf("%d %q: runs as %+v", tt.uid, tt.table, l)
		}
	}
}
