package cli

import (
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		in   string
		want target
	}{
		{"host", target{host: "host"}},
		{"bob@host", target{user: "bob", host: "host"}},
		{"host:22", target{host: "host", port: 22}},
		{"[::1]", target{host: "::1"}},
		{"[::1]:22", target{host: "::1", port: 22}},
		{"::1", target{host: "::1"}},
		{"fe80::1%eth0", target{host: "fe80::1%eth0"}},
		{"bob@fe80::1%eth0", target{user: "bob", host: "fe80::1%eth0"}},
		{"ssh://host", target{host: "host"}},
		{"ssh://bob@host:22", target{user: "bob", host: "host", port: 22}},
		{"ssh://b%40b@host/", target{user: "b@b", host: "host"}},
		{"unix:/run/rex.sock", target{kind: targetUnix, path: "/run/rex.sock"}},
		{"unix:x@y", target{kind: targetUnix, path: "x@y"}},
		{"bob@unix:/a@b", target{kind: targetUnix, user: "bob", path: "/a@b"}},
		{"local:", target{kind: targetLocal}},
		{"bob@local:", target{kind: targetLocal, user: "bob"}},
		{"local", target{host: "local"}},
		{"ssh", target{host: "ssh"}},
	} {
		c.want.text = c.in
		if got, err := parseTarget(c.in); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
	}
}

func TestBadTargets(t *testing.T) {
	for _, in := range []string{
		"", "@host", "bob@", "-host", "a b", "a\nb", "a\x00b", "$(x)", "`x`", "a;b", "a|b", "a&b", "a/b", `a\b`, "a'b", "a,b", "a>b",
		"host:", "host:0", "host:65536", "host:ssh", "[::1", "[::1]x", "[::1]:", "a:b:c", "local:x", "unix:", "bob@unix:",
		"ssh://", "ssh:///", "ssh://host/path", "ssh://@host", "ssh://%zz@host", "ssh://bob@-x", "ssh://-oProxyCommand=x",
	} {
		got, err := parseTarget(in)
		if err == nil {
			t.Errorf("%q was taken: %+v", in, got)
		} else if f := asFailure(err); f.hint == "" || f.how != howUsage {
			t.Errorf("%q: %+v", in, f)
		}
	}
}

func TestHostileUsers(t *testing.T) {
	for _, name := range []string{"", "-x", "a b", "a;b", "$(x)", "a\nb", "a/b", "a:b", "a`b", "\x1b[m", "a\u202eb", strings.Repeat("x", 256), "\xff"} {
		if err := checkUser(name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, name := range []string{"bob", "bob.b", "b_b-1", "bob+x", "bøb", "EXAMPLE@bob"} {
		if err := checkUser(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"bob@host:22", "[::1]:22", "ssh://b%40b@h:1/", "unix:/x", "local:", "a@b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			return
		}
		switch got.kind {
		case targetNetwork:
			if got.host == "" || got.host[0] == '-' || strings.ContainsAny(got.host, " \n`$;|&<>()'\"\\/") {
				t.Fatalf("%q: host %q", s, got.host)
			}
		case targetUnix:
			if got.path == "" {
				t.Fatalf("%q: no path", s)
			}
		}
	})
}

func TestForeignURL(t *testing.T) {
	_, err := parseTarget("http://127.0.0.1")
	if f := asFailure(err); f.msg != `"http://127.0.0.1" is a URL of kind "http", and rex takes ssh:// only` || f.hint != "rex ssh://user@host:7390 command" {
		t.Errorf("%+v", f)
	}
}
