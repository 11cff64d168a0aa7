//go:build unix

package execd

import (
	"slices"
	"strings"
	"testing"
)

func TestAcceptable(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"LANG", "C.UTF-8", true},
		{"LC_ALL", "", true},
		{"_", "x", true},
		{"a1_B", "x", true},
		{"lower", "any \n\xff value", true},
		{"TERM", "xterm", true},
		{"USER", "other", true},
		{"http_proxy", "http://x", true},
		{"PATHS", "x", true},
		{"MYPATH", "x", true},
		{"ENVIRONMENT", "x", true},
		{"IFS_", "x", true},
		{"OPTIONS", "x", true},
		{"LD", "x", true},
		{"ld_preload", "x", true},
		{"SSHX", "x", true},
		{"FUNC", "x () { :; }", true},

		{"LD_PRELOAD", "x", false},
		{"LD_LIBRARY_PATH", "", false},
		{"LD_", "x", false},
		{"DYLD_INSERT_LIBRARIES", "x", false},
		{"BASH_ENV", "x", false},
		{"BASH_FUNC_ls%%", "() { :; }", false},
		{"BASH_FUNC_ls", "x", false},
		{"ENV", "x", false},
		{"SHELLOPTS", "xtrace", false},
		{"BASHOPTS", "x", false},
		{"IFS", "x", false},
		{"PS4", "$(x)", false},
		{"PATH", "/evil", false},
		{"HOME", "/evil", false},
		{"JAVA_TOOL_OPTIONS", "x", false},
		{"NODE_OPTIONS", "x", false},
		{"_OPTIONS", "x", false},
		{"SSH_AUTH_SOCK", "x", false},
		{"SSH_ORIGINAL_COMMAND", "x", false},
		{"REX_CONNECTION", "x", false},
		{"GCONV_PATH", "x", false},
		{"LOCPATH", "x", false},
		{"ANY", "() { :; }; evil", false},
		{"ANY", "()", false},

		{"", "x", false},
		{"1A", "x", false},
		{"a-b", "x", false},
		{"a b", "x", false},
		{"a.b", "x", false},
		{"ä", "x", false},
		{"a\x00", "x", false},
		{"a\n", "x", false},
	} {
		if got := acceptable(c.name, c.value); got != c.want {
			t.Errorf("%q=%q: %v", c.name, c.value, got)
		}
	}
}

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		base, asked, env, dropped string
	}{
		"nothing":          {"", "", "", ""},
		"base alone":       {"A=1 B=2", "", "A=1 B=2", ""},
		"added in order":   {"A=1", "C=3 B=2", "A=1 C=3 B=2", ""},
		"wins over base":   {"A=1 B=2", "A=9", "A=9 B=2", ""},
		"the last wins":    {"A=1", "B=1 B=2 A=3 B=", "A=3 B=", ""},
		"dropped once":     {"PATH=/bin", "PATH=/x LD_A=1 PATH=/y X=1", "PATH=/bin X=1", "PATH LD_A"},
		"value with =":     {"", "A=b=c", "A=b=c", ""},
		"a bad one later":  {"", "A=1 A=()", "A=1", "A"},
		"a bad one first":  {"", "A=() A=1", "A=1", "A"},
		"base is not ours": {"LD_X=1", "", "LD_X=1", ""},
	} {
		env, dropped := merge(strings.Fields(c.base), strings.Fields(c.asked))
		if !slices.Equal(env, strings.Fields(c.env)) || !slices.Equal(dropped, strings.Fields(c.dropped)) {
			t.Errorf("%s: %q, dropped %q", name, env, dropped)
		}
	}
}

func TestLoginEnv(t *testing.T) {
	a := &account{name: "jo", uid: 1000, home: "/home/jo", shell: "/bin/zsh"}
	env := a.loginEnv("Europe/Berlin")
	for _, want := range []string{"USER=jo", "LOGNAME=jo", "HOME=/home/jo", "SHELL=/bin/zsh", "TZ=Europe/Berlin"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	path := func(env []string) string {
		return env[slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") })]
	}
	if strings.Contains(path(env), "sbin") {
		t.Errorf("%s", path(env))
	}
	env = (&account{name: "root"}).loginEnv("")
	if !strings.Contains(path(env), "/usr/sbin:") {
		t.Errorf("%s", path(env))
	}
	if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "TZ=") }) {
		t.Errorf("a TZ in %q", env)
	}
}

// Whatever a client asks for, no refused name and nothing that is no name gets through, and nothing comes twice.
func FuzzMerge(f *testing.F) {
	f.Add("A=1\x00PATH=/x")
	f.Add("LD_PRELOAD=x\x00LD_PRELOAD\x00=\x00==")
	f.Add("A=()\x00A=1\x00A=2")
	f.Fuzz(func(t *testing.T, asked string) {
		base := []string{"PATH=/bin", "HOME=/", "USER=me"}
		env, dropped := merge(base, strings.Split(asked, "\x00"))
		if env[0] != base[0] || env[1] != base[1] {
			t.Errorf("the base was changed: %q", env)
		}
		seen := make(map[string]bool)
		for _, kv := range env {
			name, value, ok := strings.Cut(kv, "=")
			if seen[name] || ok && strings.HasPrefix(value, "()") || !validName(name) {
				t.Errorf("%q in %q", kv, env)
			}
			seen[name] = true
		}
		for _, name := range dropped {
			if !strings.Contains(asked, name) {
				t.Errorf("dropped %q was never asked for", name)
			}
		}
	})
}
