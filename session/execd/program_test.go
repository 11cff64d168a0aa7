//go:build unix

package execd

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/process"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// What whoever runs the server says is not filtered, and nothing is added to it.
func TestStartProgram(t *testing.T) {
	h := newTestHandler(t, Options{Home: t.TempDir()})
	dir := t.TempDir()
	env := []string{"PATH=/bin:/usr/bin", "LD_PRELOAD_=x", "IFS=y", "A=1", "not a name=2"}
	p, err := h.StartProgram(t.Context(), &Program{Argv: []string{"env"}, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := finish(t, "env", p); out != strings.Join(env, "\n")+"\n" {
		t.Errorf("environment %q", out)
	}
	p, err = h.StartProgram(t.Context(), &Program{Argv: []string{"sh", "-c", `pwd; echo "$A$0"; cat; echo said >&2`, "a b"}, Env: env, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.Stdin(), "input"); err != nil {
		t.Error(err)
	}
	_ = p.Stdin().Close()
	said, err := io.ReadAll(p.Stderr())
	if string(said) != "said\n" || err != nil {
		t.Errorf("stderr %q, %v", said, err)
	}
	out, code := finish(t, "sh", p)
	if out != dir+"\n1a b\ninput" || code != 0 {
		t.Errorf("stdout %q, status %d", out, code)
	}
}

func TestStartProgramOfLogin(t *testing.T) {
	h := newTestHandler(t, Options{Home: t.TempDir()})
	p, err := h.StartProgram(t.Context(), &Program{Argv: []string{"/bin/sh", "-c", `echo "$HOME|$PWD"`}})
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := finish(t, "sh", p); out != h.own.Home+"|"+h.own.Home+"\n" {
		t.Errorf("in the home directory: %q", out)
	}
}

func TestStartProgramRefuses(t *testing.T) {
	h := newTestHandler(t, Options{})
	for _, c := range []struct {
		prog Program
		want proto.Code
	}{
		{Program{}, proto.Code(process.CodeInvalid)},
		{Program{Argv: []string{"/nonexistent/program"}}, proto.CodeNotFound},
		{Program{Argv: []string{"/"}}, proto.CodeIsDirectory},
		{Program{Argv: []string{"true"}, Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/nonexistent"}, proto.CodeNoDirectory},
		{Program{Argv: []string{"true"}, Login: &Login{}}, proto.CodePermissionDenied},
	} {
		_, err := h.StartProgram(t.Context(), &c.prog)
		if refusal, ok := errors.AsType[*session.Refusal](err); !ok || refusal.Code != c.want {
			t.Errorf("%+v: %v, want %s", c.prog, err, c.want)
		}
	}
}
