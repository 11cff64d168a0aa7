//go:build linux || darwin || freebsd

package daemon

import (
	"strings"
	"testing"
)

func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // part of the message
		hint string
	}{
		{"--foo", "unknown flag --foo", "--help"},
		{"-foo=1", "unknown flag --foo", "--help"},
		{"--host-key", "flag needs an argument: --host-key", "--help"},
		{"--host-key=", "empty name of a file", "--help"},
		{"--listen :0 --allow-user a*", `--allow-user: "a*" is a pattern`, ""},
		{"--listen :0 --allow-group a@b", "--allow-group: ", ""},
		{"--listen :0 --allow-user a --allow-user a", `"a" is named twice`, ""},
		{"--listen :0 --authorized-keys %x", "--authorized-keys: ", ""},
		{"--stdio --allow-user a", "do not go together", "rexd --stdio"},
		{"--listen", "flag needs an argument: --listen", "--help"},
		{"--config=", "empty name of a file", "--help"},
		{"--log-level loud", `"loud" is not debug, info, warn or error`, "--help"},
		{"--check=7", "invalid boolean value \"7\" for --check", "--help"},
		{"extra", `unexpected argument "extra"`, "--help"},
		{"session extra", `unexpected argument "session"`, "--help"},
		{"--check version extra", `unexpected argument "version"`, "--help"},
		{"--stdio --check", "do not go together", "rexd --check"},
		{"--stdio --listen unix:/run/s", "do not go together", "rexd --stdio"},
		{"", "no address to listen on", "--listen unix:/run/rex/rexd.sock"},
		{"--listen 127.0.0.1:ssh", "does not have a port", "host:port"},
		{"--listen :70000", "does not have a port", "host:port"},
		{"--listen ::1", "has no port: [::1]:7390", "host:port"},
		{"--listen [::1]", "has no port: [::1]:7390", "host:port"},
		{"--listen [fe80::1%lo]", "has no port: [fe80::1%lo]:7390", "host:port"},
		{"--listen tcp://127.0.0.1:7390", "an address of TCP has none: 127.0.0.1:7390\n", "host:port"},
		{"--listen a/b:1", "name or address of a host", "host:port"},
		{"--listen a:b:1", "IPv6 address needs brackets", "host:port"},
		{"--listen :1 --listen :1", "named twice", "host:port"},
		{"--listen /run/rexd.sock", "lacks its scheme: unix:/run/rexd.sock", "unix:/path"},
		{"--listen unix:rexd.sock", "absolute path", "unix:/path"},
		{"--listen unix:@abstract", "absolute path", "unix:/path"},
		{"--listen unix:", "absolute path", "unix:/path"},
		{"--listen unix:/a --listen unix:/a", "named twice", "unix:/path"},
		{"--listen host", `"host" is not an address`, "unix:/path"},
		{"--config /nonexistent/rexd.toml", "cannot read the configuration: open /nonexistent/rexd.toml: no such file", "leave out --config"},
		{"--config /", "cannot read the configuration", ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := runToEnd(t, command(t, strings.Fields(tt.args)...))
			if got.code != exitUsage || got.stdout != "" {
				t.Errorf("exit %d, %q", got.code, got.stdout)
			}
			message, hint, _ := strings.Cut(got.stderr, "rexd: hint: ")
			if !strings.HasPrefix(message, "rexd: error: ") || !strings.Contains(message, tt.want) {
				t.Errorf("stderr %q, want %q", got.stderr, tt.want)
			}
			if !strings.Contains(hint, tt.hint) || hint != "" && tt.hint == "" {
				t.Errorf("hint %q, want %q", hint, tt.hint)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"--help":       "usage:\n",
		"-h":           "usage:\n",
		"help":         "usage:\n",
		"--version":    "rexd ",
		"version":      "rexd ",
		"--foo --help": "",
	} {
		got := runToEnd(t, command(t, strings.Fields(args)...))
		if want == "" {
			if got.code != exitUsage {
				t.Errorf("%s: exit %d", args, got.code)
			}
			continue
		}
		if got.code != exitOK || !strings.HasPrefix(got.stdout, want) || got.stderr != "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// TestUsageNamesFlags keeps the help and the flags together.
func TestUsageNamesFlags(t *testing.T) {
	for _, name := range []string{"config", "listen", "host-key", "authorized-keys", "allow-user", "allow-group", "log-level", "check", "stdio", "version", "help"} {
		if (&flags{}).set().Lookup(name) == nil || !strings.Contains(strings.ReplaceAll(usage, "FILE\n", "FILE "), "\n  --"+name+" ") {
			t.Errorf("--%s is not in both", name)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"unix:/a", "unix:a", "unix:", ":1", "/a", "", "unix:/a\x00b", "unix:unix:/a"} {
		f.Add(s)
	}
	for _, s := range []string{":7390", "localhost:0", "[::1]:7390", "[fe80::1%lo]:1", "::1", "a:b:c", "h:-1", "h:70000", "a b:1", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		addr, err := parseAddress(text)
		switch {
		case err != nil && addr != address{}:
			t.Fatalf("%q: %q and %v", text, addr, err)
		case err != nil:
		case addr.String() != text || (addr.path == "") == (addr.tcp == "") || addr.path != "" && addr.path[0] != '/':
			t.Fatalf("%q became %#v", text, addr)
		}
	})
}
