//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth/authorize"
)

func TestConfigGood(t *testing.T) {
	base := settings{file: "f", drain: 30 * time.Second}
	for _, tt := range []struct {
		text string
		want func(*settings)
	}{
		{"", func(*settings) {}},
		{"# nothing\n\n", func(*settings) {}},
		{`listen = ["unix:/a", ":7390"]`, func(s *settings) { s.listen = []address{{path: "/a"}, {tcp: ":7390"}} }},
		{"listen = [\n  \"unix:/a\", # one\n]\n", func(s *settings) { s.listen = []address{{path: "/a"}} }},
		{`listen = []`, func(*settings) {}},
		{`max_commands = 1`, func(s *settings) { s.maxCommands = 1 }},
		{`max_commands = 240`, func(s *settings) { s.maxCommands = 240 }},
		{`drain = "1m30s"`, func(s *settings) { s.drain = 90 * time.Second }},
		{`drain = "0s"`, func(s *settings) { s.drain = 0 }},
		{`log_level = "debug"`, func(s *settings) { s.level, s.levelSet = slog.LevelDebug, true }},
		{`log_level = 'error'`, func(s *settings) { s.level, s.levelSet = slog.LevelError, true }},
		{`tree = "auto"`, func(*settings) {}},
		{`host_keys = ["/k1", "/k2"]`, func(s *settings) { s.login.hostKeys = []string{"/k1", "/k2"} }},
		{`authorized_keys = ["/etc/keys/%u", ".ssh/keys"]`, func(s *settings) { s.login.authorizedKeys = []string{"/etc/keys/%u", ".ssh/keys"} }},
		{`authorized_keys = ["none"]`, func(s *settings) { s.login.authorizedKeys = []string{"none"} }},
		{`allow_users = ["alice", "bob"]`, func(s *settings) { s.login.allowUsers = []string{"alice", "bob"} }},
		{`allow_users = []`, func(*settings) {}},
		{`allow_groups = ["rex"]`, func(s *settings) { s.login.allowGroups = []string{"rex"} }},
		{`deny_users = ["eve"]`, func(s *settings) { s.login.denyUsers = []string{"eve"} }},
		{`deny_groups = ["guests"]`, func(s *settings) { s.login.denyGroups = []string{"guests"} }},
		{`permit_root = "forced-commands-only"`, func(s *settings) { s.login.permitRoot = authorize.RootForcedOnly }},
		{`trusted_user_ca_keys = "/ca"`, func(s *settings) { s.login.trustedCA = "/ca" }},
		{`revoked_keys = "/krl"`, func(s *settings) { s.login.revoked = "/krl" }},
		{`strict_modes = true`, func(*settings) {}},
		{`strict_modes = false`, func(s *settings) { s.login.laxModes = true }},
		{`permit_user_environment = true`, func(s *settings) { s.login.userEnvironment = true }},
		{`sshd_policy_acknowledged = true`, func(s *settings) { s.login.sshdAcknowledged = true }},
		{`tree = "group"`, func(s *settings) { s.tree = "group" }},
		{"drain = \"2s\"\r\ntree = \"keeper\"\r\n", func(s *settings) { s.drain, s.tree = 2*time.Second, "keeper" }},
	} {
		want, got := base, base
		tt.want(&want)
		got.file = ""
		if err := got.apply("f", []byte(tt.text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", tt.text, got, err, want)
		}
	}
}

func TestConfigBad(t *testing.T) {
	for _, tt := range []struct {
		text  string
		place string // how the message begins
		want  string
		shown string // a line of the picture
	}{
		{"# x\nlissten = []", "f:2:1: unknown key lissten", "", "\n | ~~~~~~~ unknown field"},
		{"drain = '1s'\n[limits]\nmax = 1", "f:2:2: unknown key limits", "", "\n2| [limits]\n |  ~~~~~~ unknown table, the only ones are [[service]]\n"},
		{"drain.x = 1", "f:1:7: drain.x", "", "\n1| drain.x = 1\n"},
		{"drain = 30", "f:1:9: drain", `integer, not a string, such as "30s"`, "\n |         ~~ integer"},
		{"drain = true", "f:1:9: drain", "not a string", "\n1| drain = true\n"},
		{"\ndrain = \"30\"", "f:2: drain", `"30" is not a duration`, "\n2| drain = \"30\"\n | ~~~~~"},
		{"drain = \"-1s\"", "f:1: drain", "is negative", "\n | ~~~~~"},
		{"drain = \"\"", "f:1: drain", "is not a duration", ""},
		{"max_commands = 0", "f:1: max_commands", "0 is not between 1 and 240", "\n | ~~~~~~~~~~~~"},
		{"max_commands = 241", "f:1: max_commands", "241 is not between 1 and 240", ""},
		{"max_commands = -5", "f:1: max_commands", "-5 is not", ""},
		{"max_commands = 1.5", "f:1:16: max_commands", "not an integer", ""},
		{"max_commands = \"5\"", "f:1:16: max_commands", "string, not an integer", ""},
		{"max_commands = 99999999999999999999", "f:1:16: max_commands", "too large", ""},
		{"log_level = \"loud\"", "f:1: log_level", "is not debug, info, warn or error", ""},
		{"log_level = 1", "f:1:13: log_level", "not a string", ""},
		{"tree = \"forest\"", "f:1: tree", "is not auto, cgroup, keeper or group", ""},
		{"  \"tree\" = \"forest\"", "f:1: tree", "is not auto", "\n1|   \"tree\" = \"forest\"\n |    ~~~~"},
		{"listen = \"unix:/a\"", "f:1:10: listen", "string, not an array of strings", ""},
		{"listen = [1]", "f:1:11: listen", "integer, not", ""},
		{"\n\nlisten = [\n\"unix:/a\",\n\":http\"]", "f:3: listen", "does not have a port", "\n3| listen = [\n | ~~~~~~"},
		{"listen = [\"unix:/a\", \"unix:/a\"]", "f:1: listen", "named twice", ""},
		{"host_keys = [\"key\"]", "f:1: host_keys", "not an absolute path", "\n1| host_keys = [\"key\"]\n | ~~~~~~~~~"},
		{"host_keys = \"/key\"", "f:1:13: host_keys", "string, not an array of strings, each a file", ""},
		{"authorized_keys = [\"%d\"]", "f:1: authorized_keys", "%u, %h or %%", "\n | ~~~~~~~~~~~~~~~"},
		{"authorized_keys = [\"none\", \"/a\"]", "f:1: authorized_keys", "not together", ""},
		{"\nallow_users = [\"a*\"]", "f:2: allow_users", "is a pattern", "\n2| allow_users = [\"a*\"]\n | ~~~~~~~~~~~"},
		{"allow_users = [\"a\", \"a\"]", "f:1: allow_users", "named twice", ""},
		{"allow_users = \"a\"", "f:1:15: allow_users", `not an array of names, such as ["alice"]`, ""},
		{"allow_groups = [\"a b\"]", "f:1: allow_groups", "is not a name", "\n | ~~~~~~~~~~~~"},
		{"deny_users = [\"a@h\"]", "f:1: deny_users", "from=", "\n | ~~~~~~~~~~"},
		{"deny_groups = [\"\"]", "f:1: deny_groups", "empty name", "\n | ~~~~~~~~~~~"},
		{"permit_root = \"prohibit-password\"", "f:1: permit_root", "is not yes, no or forced-commands-only", "\n | ~~~~~~~~~~~"},
		{"permit_root = true", "f:1:15: permit_root", `boolean, not "yes", "no" or "forced-commands-only"`, ""},
		{"trusted_user_ca_keys = \"ca\"", "f:1: trusted_user_ca_keys", "not an absolute path", "\n | ~~~~~~~~~~~~~~~~~~~~"},
		{"revoked_keys = \"\"", "f:1: revoked_keys", "not an absolute path", "\n | ~~~~~~~~~~~~"},
		{"strict_modes = \"yes\"", "f:1:16: strict_modes", "string, not true or false", ""},
		{"permit_user_environment = 1", "f:1:27: permit_user_environment", "integer, not true or false", ""},
		{"sshd_policy_acknowledged = 'true'", "f:1:28: sshd_policy_acknowledged", "not true or false", ""},
		{"drain = '1s'\ndrain = '2s'", "f:2:1: drain", "already defined", ""},
		{"drain = ", "f:1:", "", ""},
		{"drain", "f:1:", "", ""},
		{"\x00", "f:1:", "", ""},
		{"tree = \"\xff\"", "f:1:", "", ""},
	} {
		s := &settings{}
		err := s.apply("f", []byte(tt.text))
		if err == nil {
			t.Errorf("%q: no error", tt.text)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, tt.place) || !strings.Contains(text, tt.want) || !strings.Contains(text, tt.shown) {
			t.Errorf("%q:\n%s\nwant %q %q %q", tt.text, text, tt.place, tt.want, tt.shown)
		}
		if strings.Contains(text, "struct field") || strings.Contains(text, "daemon.") {
			t.Errorf("%q: names types of Go: %s", tt.text, text)
		}
		if exitCode(err) != exitUsage {
			t.Errorf("%q: exit status %d", tt.text, exitCode(err))
		}
	}
}

// TestConfigAllUnknownKeys shows every one.
func TestConfigAllUnknownKeys(t *testing.T) {
	err := (&settings{}).apply("f", []byte("a = 1\ndrain = '1s'\nb = 2\n"))
	if err == nil || strings.Count(err.Error(), "unknown field") != 2 {
		t.Errorf("error %v", err)
	}
	if hintFor(err) != hintKeys {
		t.Errorf("hint %q", hintFor(err))
	}
}

// TestKeysInHint keeps the hint and the keys together.
func TestKeysInHint(t *testing.T) {
	for f := range reflect.TypeFor[file]().Fields() {
		if key := f.Tag.Get("toml"); !strings.Contains(hintKeys, key) {
			t.Errorf("%s is not in the hint", key)
		}
	}
}

func TestLoadSettings(t *testing.T) {
	home := t.TempDir()
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	noFlags := &flags{}

	if name := defaultFile(0, getenv); name != "/etc/rex/rexd.toml" {
		t.Errorf("root's file is %s", name)
	}
	if name := defaultFile(1000, getenv); name != home+"/.config/rex/rexd.toml" {
		t.Errorf("the file of others is %s", name)
	}
	if name := defaultFile(1000, func(string) string { return "" }); name != "" {
		t.Errorf("the file of the homeless is %s", name)
	}

	if os.Geteuid() != 0 {
		s, err := loadSettings(noFlags, getenv, true)
		if err != nil || s.file != "" || s.localCommands() != 240 || s.networkCommands() != 64 {
			t.Errorf("without a file: %+v, %v", s, err)
		}
		name := filepath.Join(home, ".config/rex/rexd.toml")
		os.MkdirAll(filepath.Dir(name), 0o700)
		os.WriteFile(name, []byte("max_commands = 7"), 0o600)
		if s, err = loadSettings(noFlags, getenv, true); err != nil || s.file != name || s.maxCommands != 7 {
			t.Errorf("with the default file: %+v, %v", s, err)
		}
		if s, err = loadSettings(noFlags, getenv, false); err != nil || s.file != "" {
			t.Errorf("the default file counts without being asked: %+v, %v", s, err)
		}
	}

	level := slog.LevelError
	name := writeConfig(t, "listen = ['unix:/a']\nlog_level = 'debug'\nmax_commands = 3")
	s, err := loadSettings(&flags{config: name, listen: []string{"unix:/b"}, level: &level}, getenv, false)
	if err != nil || fmt.Sprint(s.listen) != "[unix:/b]" || s.level != level || s.maxCommands != 3 {
		t.Errorf("flags win: %+v, %v", s, err)
	}
	if _, err := loadSettings(&flags{config: name + "x"}, getenv, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	big := writeConfig(t, "#"+strings.Repeat("x", maxConfig))
	if _, err := loadSettings(&flags{config: big}, getenv, true); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a huge file: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		"", "listen = ['unix:/a']", "max_commands = 5", "drain = '1s'", "tree = 'group'", "log_level = 'info'",
		"x = 1", "[a]\nb = 1", "drain = {a = 1}", "a.b.c = 1", "drain = '''\n1s'''", "drain = \"\\u0000\"",
		"[[service]]\nname = 'a'\ncommand = ['cat']\nlisten = ['127.0.0.1:1', 'unix:/s']\nmode = '0660'\nidle = '0s'\n[service.environment]\nA = '1'\n",
		"service = [{name = 'a', command = ['cat'], login = true, listen = [':1']}]", "[service]\nname = 'a'\ncommand = []", "[[service]]\n[[service]]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s := &settings{}
		if err := s.apply("f", doc); err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("no place in %q", err)
			}
			return
		}
		if n := s.localCommands(); n < 1 || n > 240 || s.networkCommands() > 240 || s.drain < 0 {
			t.Fatalf("%+v", s)
		}
		for _, addr := range s.listen {
			if addr.tcp == "" && !strings.HasPrefix(addr.path, "/") {
				t.Fatalf("listens on %q", addr)
			}
		}
		for _, one := range s.services {
			if one.name == "" || len(one.command) == 0 || one.limits.Instances < 0 || one.mode&^0o666 != 0 {
				t.Fatalf("%+v", one)
			}
			for _, addr := range one.listen {
				if addr.path == "" && !one.public && !one.login && !isLoopback(addr.tcp) {
					t.Fatalf("listens on %q", addr)
				}
			}
		}
	})
}
