//go:build unix

package execd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// forMe is a login of this process's user that grants everything, changed.
func forMe(change func(*Login)) *Login {
	l := &Login{User: "me", UID: os.Getuid(), GID: os.Getgid(), Home: "/", Shell: "/bin/sh", PTY: true, Exact: true}
	l.Groups, _ = os.Getgroups()
	if change != nil {
		change(l)
	}
	return l
}

// What is no complete login is refused: this process may be root.
func TestLoginIncomplete(t *testing.T) {
	h := newTestHandler(t, Options{})
	var none *Login
	highest := uint32(math.MaxUint32)
	for name, granted := range map[string]any{
		"nil pointer": none, "zero": &Login{}, "a value": *forMe(nil), "another type": "root", "a number": 0,
		"no name":   forMe(func(l *Login) { l.User = "" }),
		"no home":   forMe(func(l *Login) { l.Home = "" }),
		"no shell":  forMe(func(l *Login) { l.Shell = "" }),
		"uid -1":    forMe(func(l *Login) { l.UID = -1 }),
		"uid max":   forMe(func(l *Login) { l.UID = int(highest) }),
		"gid -1":    forMe(func(l *Login) { l.GID = -1 }),
		"group -1":  forMe(func(l *Login) { l.Groups = []int{1, -1} }),
		"group max": forMe(func(l *Login) { l.Groups = []int{int(highest)} }),
	} {
		p, err := h.Start(t.Context(), &session.Request{Argv: []string{"true"}, Peer: session.Peer{Login: granted}})
		if !errors.Is(err, proto.CodePermissionDenied) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoginOfAnother(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs another user than root")
	}
	h := newTestHandler(t, Options{})
	l := forMe(func(l *Login) { l.UID++ })
	if _, err := h.Start(t.Context(), &session.Request{Argv: []string{"true"}, Peer: session.Peer{Login: l}}); !errors.Is(err, proto.CodePermissionDenied) {
		t.Errorf("another user: %v", err)
	}
}

// A forced command is what runs, whatever is asked for.
func TestForcedCommand(t *testing.T) {
	h := newTestHandler(t, Options{})
	command := `echo "forced <${SSH_ORIGINAL_COMMAND-none}> $0 $(pwd)"`
	for name, c := range map[string]struct {
		req  session.Request
		want string
	}{
		"login shell": {session.Request{}, "none"},
		"line":        {session.Request{IsLine: true, Line: "id; rm -r *"}, "id; rm -r *"},
		"empty line":  {session.Request{IsLine: true}, ""},
		"argv":        {session.Request{Argv: []string{"a", "b  c", "", "d'e"}}, `a 'b  c' '' 'd'\''e'`},
		"path":        {session.Request{Argv: []string{"harmless", "-c", "x"}, Path: "/bin/sh"}, "/bin/sh -c x"},
		"subsystem":   {session.Request{Subsystem: "sftp"}, "sftp"},
		"directory":   {session.Request{IsLine: true, Line: "x", Dir: "/usr"}, "x"},
		"variables":   {session.Request{IsLine: true, Line: "x", Env: []string{"SSH_ORIGINAL_COMMAND=y", "BASH_ENV=/x", "PWD=/x"}}, "x"},
	} {
		for _, exact := range []bool{true, false} {
			req := c.req
			req.Peer.Login = forMe(func(l *Login) { l.Command, l.Exact = &command, exact })
			if out, code := outputOf(t, h, &req); out != "forced <"+c.want+"> sh /\n" || code != 0 {
				t.Errorf("%s: %q, %d", name, out, code)
			}
		}
	}
}

func TestLoginAllows(t *testing.T) {
	h := newTestHandler(t, Options{})
	command := "true"
	for name, c := range map[string]struct {
		login *Login
		req   session.Request
		code  proto.Code // empty: allowed
	}{
		"argv":                   {forMe(nil), session.Request{Argv: []string{"true"}}, ""},
		"argv by shell only":     {forMe(func(l *Login) { l.Exact = false }), session.Request{Argv: []string{"true"}}, proto.CodePermissionDenied},
		"path by shell only":     {forMe(func(l *Login) { l.Exact = false }), session.Request{Argv: []string{"true"}, Path: "/bin/sh"}, proto.CodePermissionDenied},
		"line by shell only":     {forMe(func(l *Login) { l.Exact = false }), session.Request{IsLine: true, Line: "true"}, ""},
		"shell by shell only":    {forMe(func(l *Login) { l.Exact = false }), session.Request{}, ""},
		"forced argv":            {forMe(func(l *Login) { l.Exact, l.Command = false, &command }), session.Request{Argv: []string{"x"}}, ""},
		"terminal":               {forMe(nil), session.Request{Argv: []string{"true"}, Term: &session.Term{}}, ""},
		"terminal, not allowed":  {forMe(func(l *Login) { l.PTY = false }), session.Request{IsLine: true, Term: &session.Term{}}, proto.CodePermissionDenied},
		"forced, not allowed":    {forMe(func(l *Login) { l.PTY, l.Command = false, &command }), session.Request{Term: &session.Term{}}, proto.CodePermissionDenied},
		"no terminal":            {forMe(func(l *Login) { l.PTY = false }), session.Request{IsLine: true}, ""},
		"subsystem":              {forMe(nil), session.Request{Subsystem: "sftp"}, proto.CodeNoSubsystem},
		"missing shell":          {forMe(func(l *Login) { l.Shell = "/no/such/shell" }), session.Request{IsLine: true}, proto.CodeNoShell},
		"forced, missing shell":  {forMe(func(l *Login) { l.Shell, l.Command = "/no/such/shell", &command }), session.Request{Argv: []string{"x"}}, proto.CodeNoShell},
		"missing program":        {forMe(nil), session.Request{Argv: []string{"/no/such/program"}}, proto.CodeNotFound},
		"missing home":           {forMe(func(l *Login) { l.Home = "/no/such/home" }), session.Request{IsLine: true}, ""},
		"below the missing home": {forMe(func(l *Login) { l.Home = "/no/such/home" }), session.Request{IsLine: true, Dir: "x"}, proto.CodeNoDirectory},
	} {
		c.req.Peer.Login = c.login
		p, err := h.Start(t.Context(), &c.req)
		if c.code == "" && err != nil || c.code != "" && !errors.Is(err, c.code) {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
		if err == nil {
			if exit, err := p.Wait(); err != nil || exit.Code != 0 {
				t.Errorf("%s: %+v, %v", name, exit, err)
			}
			_ = p.Release()
		} else if refused, ok := errors.AsType[*session.Refusal](err); !ok || refused.Message == "" {
			t.Errorf("%s: %v says nothing", name, err)
		}
	}
}

// A quoted word is one word to a shell, with the same bytes.
func TestQuote(t *testing.T) {
	words := []string{
		"plain", "", " ", "a b", "'", "''", `"`, `\`, "$HOME", "`x`", "*", "~", "#", "a\nb", "\t", "-n", "--", "A=1", "if", "{a,b}", "!", "\xff", "ä",
		"/usr/bin/x-1.0:2@h%+,_", ";", "&", "|", "<", ">", "(", ")", "[", "?", "\x01", "\r", strings.Repeat("'", 100),
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	for _, sh := range []string{"sh", "bash"} {
		if _, err := exec.LookPath(sh); err != nil {
			continue
		}
		out, err := exec.Command(sh, "-c", `printf '%s\0' `+strings.Join(quoted, " ")).Output()
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); err != nil || !slices.Equal(got, words) {
			t.Errorf("%s reads %q, %v", sh, got, err)
		}
	}
	for _, w := range []string{"plain", "-n", "/bin/ls", "a.b", "user@host:x"} {
		if quote(w) != w {
			t.Errorf("%q needs no quotes: %s", w, quote(w))
		}
	}
	for _, w := range reserved { // as the name of a program
		if out, err := exec.Command("sh", "-c", "PATH=/nowhere; "+quote(w)+" x").CombinedOutput(); err == nil || !strings.Contains(string(out), "not found") {
			t.Errorf("%s is taken for syntax: %s", w, out)
		}
	}
}

// Whatever a word is, what is outside of the quotes means nothing to a shell.
func FuzzQuote(f *testing.F) {
	f.Add("a'b")
	f.Add("if")
	f.Add("$(x)\n")
	f.Fuzz(func(t *testing.T, word string) {
		q := quote(word)
		var back strings.Builder
		inside := false
		for i := 0; i < len(q); i++ {
			switch c := q[i]; {
			case c == '\'':
				inside = !inside
			case inside:
				back.WriteByte(c)
			case c == '\\' && i+1 < len(q):
				i++
				back.WriteByte(q[i])
			case isAlphanumeric(c) || strings.IndexByte("_@%+:,./-", c) >= 0:
				back.WriteByte(c)
			default:
				t.Fatalf("%q is %q, with %q outside of quotes", word, q, c)
			}
		}
		if inside || back.String() != word {
			t.Errorf("%q is %q, which reads %q", word, q, back.String())
		}
	})
}

func ExampleLogin() {
	command := "/usr/bin/backup"
	l := &Login{
		User: "al", UID: 1000, GID: 1000, Groups: []int{1000, 27}, Home: "/home/al", Shell: "/bin/sh",
		Command: &command, // whatever a client asks for
	}
	peer := session.Peer{User: l.User, Addr: "192.0.2.7:50000", Login: l}
	fmt.Println(peer.User)
	// Output: al
}
