package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/internal/transport"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct{ words, line, want string }{
		{"bob@host", "ssh %h -p %p -l %r", "ssh host -p 7390 -l bob"},
		{"bob@host:22", "%n:%p %%h %%%h", "host:22 %h %host"},
		{"-oHostName=10.0.0.1 host", "%h %n", "10.0.0.1 host"},
		{"host", "no tokens", "no tokens"},
		{"host", "", ""},
	} {
		r := testRunner(t, strings.Fields(c.words)...)
		if got, err := r.expand(c.line); err != nil || got != c.want {
			t.Errorf("%s: %q: %q, %v", c.words, c.line, got, err)
		}
	}
	r := testRunner(t, "host")
	for _, line := range []string{"%", "x %", "%x", "%H", "%d", "%%%"} {
		if got, err := r.expand(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
	if name, err := r.expand("%r"); err != nil || name == "" {
		t.Errorf("%%r without a user: %q, %v", name, err)
	}
}

func TestLocalIsMe(t *testing.T) {
	f := testRunner(t, "somebody-else@local:", "id").connect(t.Context())
	if f == nil || f.how != howUsage || !strings.Contains(f.msg, "as yourself") {
		t.Errorf("%+v", f)
	}
}

func TestProxyCommandErrors(t *testing.T) {
	f := testRunner(t, "-oProxyCommand=x %y", "host").connect(t.Context())
	if f == nil || f.how != howUsage || !strings.Contains(f.msg, "unknown token %y") {
		t.Errorf("%+v", f)
	}
	r := testRunner(t, "-oProxyCommand=x", "host")
	r.env.Getenv = func(string) string { return "/no/such/shell" }
	if f := r.connect(t.Context()); f == nil || f.how != howLogin || !strings.Contains(f.msg, "cannot start the ProxyCommand") {
		t.Errorf("%+v", f)
	}
}

func TestExplainUnix(t *testing.T) {
	r := testRunner(t, "unix:/run/rex.sock", "x")
	for _, c := range []struct {
		err       error
		msg, hint string
	}{
		{fmt.Errorf("socket: %w", fs.ErrNotExist), "no daemon listens on /run/rex.sock", "rexd --listen unix:/run/rex.sock"},
		{syscall.ECONNREFUSED, "no daemon listens", "rexd --listen"},
		{fmt.Errorf("socket: %w", fs.ErrPermission), "permission", "ls -ld /run/rex.sock /run"},
		{&transport.UnsafePathError{Path: "/run/rex.sock", Reason: "/run is world-writable"}, "world-writable", "ls -ld"},
		{fmt.Errorf("socket: %w", &transport.RefusedError{Text: "not you"}), "login refused", "rex unix:/run/rex.sock command"},
		{&transport.ForeignPeerError{Protocol: "ssh"}, "speaks ssh", "rexd --listen"},
		{&transport.ForeignPeerError{Greeting: "220 ftp"}, "220 ftp", "ls -l"},
		{context.DeadlineExceeded, "deadline", "ConnectTimeout"},
		{errors.ErrUnsupported, "unsupported", "ProxyCommand"},
		{errors.New("odd"), "odd", "ls -l"},
	} {
		f := r.explainUnix("/run/rex.sock", c.err)
		if f.how != howLogin || f.status != statusOwn || !strings.Contains(f.msg, c.msg) || !strings.Contains(f.hint, c.hint) {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}
