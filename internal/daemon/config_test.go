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
)

func TestConfigGood(t *testing.T) {
	base := settings{file: "f", maxCommands: 240, drain: 30 * time.Second}
	for _, tt := range []struct {
		text string
		want func(*settings)
	}{
		{"", func(*settings) {}},
		{"# nothing\n\n", func(*settings) {}},
		{`listen = ["unix:/a", "unix:/b"]`, func(s *settings) { s.listen = []string{"/a", "/b"} }},
		{"listen = [\n  \"unix:/a\", # one\n]\n", func(s *settings) { s.listen = []string{"/a"} }},
		{`listen = []`, func(*settings) {}},
		{`max_commands = 1`, func(s *settings) { s.maxCommands = 1 }},
		{`max_commands = 240`, func(s *settings) { s.maxCommands = 240 }},
		{`drain = "1m30s"`, func(s *settings) { s.drain = 90 * time.Second }},
		{`drain = "0s"`, func(s *settings) { s.drain = 0 }},
		{`log_level = "debug"`, func(s *settings) { s.level, s.levelSet = slog.LevelDebug, true }},
		{`log_level = 'error'`, func(s *settings) { s.level, s.levelSet = slog.LevelError, true }},
		{`tree = "auto"`, func(*settings) {}},
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
		{"drain = '1s'\n[limits]\nmax = 1", "f:2:2: unknown key limits", "", "\n2| [limits]\n"},
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
		{"\n\nlisten = [\n\"unix:/a\",\n\":7390\"]", "f:3: listen", "Unix sockets only", "\n3| listen = [\n | ~~~~~~"},
		{"listen = [\"unix:/a\", \"unix:/a\"]", "f:1: listen", "named twice", ""},
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
		if err != nil || s.file != "" || s.maxCommands != 240 {
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
	if err != nil || fmt.Sprint(s.listen) != "[/b]" || s.level != level || s.maxCommands != 3 {
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
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s := &settings{maxCommands: 240}
		if err := s.apply("f", doc); err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("no place in %q", err)
			}
			return
		}
		if s.maxCommands < 1 || s.maxCommands > 240 || s.drain < 0 {
			t.Fatalf("%+v", s)
		}
		for _, path := range s.listen {
			if !strings.HasPrefix(path, "/") {
				t.Fatalf("listens on %q", path)
			}
		}
	})
}
