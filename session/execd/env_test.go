//go:build unix

package execd

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rexec/rex/session"
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
		env, dropped := merge(strings.Fields(c.base), strings.Fields(c.asked), acceptable)
		if !slices.Equal(env, strings.Fields(c.env)) || !slices.Equal(dropped, strings.Fields(c.dropped)) {
			t.Errorf("%s: %q, dropped %q", name, env, dropped)
		}
	}
}

func TestLoginVariables(t *testing.T) {
	a := &Login{User: "jo", UID: 1000, Home: "/home/jo", Shell: "/bin/zsh"}
	env := a.variables("Europe/Berlin")
	for _, want := range []string{"USER=jo", "LOGNAME=jo", "HOME=/home/jo", "SHELL=/bin/zsh", "TZ=Europe/Berlin", "MAIL=/var/mail/jo"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	if strings.Contains(valueOf(env, "PATH"), "sbin") || valueOf(env, "SSH_CONNECTION") != "" {
		t.Errorf("%q", env)
	}
	env = (&Login{User: "root"}).variables("")
	if !strings.Contains(valueOf(env, "PATH"), "/usr/sbin:") {
		t.Errorf("%q", env)
	}
	if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "TZ=") }) {
		t.Errorf("a TZ in %q", env)
	}
}

func valueOf(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func TestConnectionVariables(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:50000":          "192.0.2.7 50000 2001:db8::1 7390",
		"[::ffff:192.0.2.7]:50000": "192.0.2.7 50000 2001:db8::1 7390",
		"[fe80::1%eth0]:50000":     "fe80::1%eth0 50000 2001:db8::1 7390",
	} {
		l := &Login{User: "jo", Remote: netip.MustParseAddrPort(remote), Local: netip.MustParseAddrPort("[2001:db8::1]:7390")}
		env := l.variables("")
		if valueOf(env, "SSH_CONNECTION") != want || valueOf(env, "REX_CONNECTION") != want {
			t.Errorf("%s: %q", remote, env)
		}
		field := strings.Fields(want)
		if got := valueOf(env, "SSH_CLIENT"); got != field[0]+" "+field[1]+" "+field[3] {
			t.Errorf("%s: SSH_CLIENT %q", remote, got)
		}
	}
}

func TestAcceptableForced(t *testing.T) {
	for kv, want := range map[string]bool{
		"LANG=C.UTF-8": true, "LC_ALL=de_DE.UTF-8@euro": true, "LC_=": true, "TERM=xterm-256color": true, "COLORTERM=truecolor": true, "NO_COLOR=1": true, "LANG=": true,
		"LANG=a b": false, "LANG=$(x)": false, "LANG=../x": false, "TERM=/tmp/x": false, "LC_ALL=() {": false, "LC_ALL=x\n": false, "LC_A-B=x": false,
		"LANGUAGE=de": false, "A=1": false, "USER=x": false, "TZ=UTC": false, "MAIL=x": false, "PATH=/x": false, "SSH_X=1": false, "LD_PRELOAD=x": false, "lang=x": false, "=": false,
	} {
		name, value, _ := strings.Cut(kv, "=")
		if got := acceptableForced(name, value); got != want {
			t.Errorf("%q: %v", kv, got)
		}
	}
}

// What the account's own keys say loses to what a login sets, and to the client.
func TestEnvironment(t *testing.T) {
	command := "forced"
	for name, c := range map[string]struct {
		login   Login
		req     session.Request
		want    string // beside what every login has
		dropped string
	}{
		"nothing":         {Login{}, session.Request{}, "", ""},
		"of the key":      {Login{Environment: []string{"A=1", "PATH=/evil", "HOME=/evil", "A=2"}}, session.Request{}, "A=2", ""},
		"of the client":   {Login{Environment: []string{"A=1"}}, session.Request{Env: []string{"A=2", "PATH=/evil", "SSH_TTY=x", "SSH_ORIGINAL_COMMAND=x"}}, "A=2", "PATH SSH_TTY SSH_ORIGINAL_COMMAND"},
		"terminal":        {Login{}, session.Request{Term: &session.Term{Name: "vt52"}}, "TERM=vt52", ""},
		"nameless":        {Login{}, session.Request{Term: &session.Term{}}, "", ""},
		"forced":          {Login{Command: &command}, session.Request{Env: []string{"A=2", "LANG=C"}, IsLine: true, Line: "a  b"}, "LANG=C SSH_ORIGINAL_COMMAND=a__b", "A"},
		"forced terminal": {Login{Command: &command}, session.Request{Term: &session.Term{Name: "/x"}}, "", "TERM"},
		"forced of a key": {Login{Command: &command, Environment: []string{"A=1"}}, session.Request{Argv: []string{"a", "b c"}}, "A=1 SSH_ORIGINAL_COMMAND=a_'b_c'", ""},
		"forced shell":    {Login{Command: &command, Environment: []string{"SSH_TTY=mine"}}, session.Request{}, "SSH_TTY=mine", ""},
	} {
		c.login.User, c.login.UID, c.login.Home, c.login.Shell = "jo", 1000, "/home/jo", "/bin/sh"
		env, dropped := c.login.environment(&c.req, "")
		var rest []string
		for _, kv := range env {
			if !slices.Contains(c.login.variables(""), kv) {
				rest = append(rest, strings.ReplaceAll(kv, " ", "_"))
			}
		}
		if strings.Join(rest, " ") != c.want || strings.Join(dropped, " ") != c.dropped {
			t.Errorf("%s: %q, dropped %q", name, rest, dropped)
		}
		if len(env) != len(rest)+len(c.login.variables("")) {
			t.Errorf("%s: %q lacks what every login has", name, env)
		}
	}
}

// Whatever a client asks for, no refused name and nothing that is no name gets through, and nothing comes twice.
func FuzzMerge(f *testing.F) {
	f.Add("A=1\x00PATH=/x")
	f.Add("LD_PRELOAD=x\x00LD_PRELOAD\x00=\x00==")
	f.Add("A=()\x00A=1\x00A=2")
	f.Fuzz(func(t *testing.T, asked string) {
		base := []string{"PATH=/bin", "HOME=/", "USER=me"}
		env, dropped := merge(base, strings.Split(asked, "\x00"), acceptable)
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
