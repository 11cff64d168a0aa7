package execd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Commands of a login run as that account, with nothing of root's.
func TestAsAnotherUser(t *testing.T) {
	user := newUser(t)
	secret := t.TempDir() + "/secret" // below a directory of root's alone
	if err := os.WriteFile(secret, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command := "echo forced; id -un"
	for _, mode := range []string{"cgroup", "keeper", "group"} {
		h, err := New(Options{Mode: mode, Keeper: []string{"/proc/self/exe", "session-keeper"}, TZ: "UTC"})
		if err != nil {
			t.Logf("%s: %v", mode, err)
			continue
		}
		t.Cleanup(func() { _ = h.Close() })
		t.Run(mode, func(t *testing.T) {
			for name, c := range map[string]struct {
				change func(*Login)
				req    session.Request
				want   string
			}{
				"argv":        {nil, session.Request{Argv: []string{"id", "-un"}}, user.Name + "\n"},
				"line":        {nil, session.Request{IsLine: true, Line: "id -un; echo $TZ $0; pwd"}, user.Name + "\nUTC bash\n" + user.Home + "\n"},
				"terminal":    {nil, session.Request{Argv: []string{"sh", "-c", `[ "$(tty)" = "$SSH_TTY" ] && stat -c %U $SSH_TTY`}, Term: &session.Term{}}, user.Name + "\r\n"},
				"forced":      {func(l *Login) { l.Command = &command }, session.Request{Argv: []string{"x"}}, "forced\n" + user.Name + "\n"},
				"closed home": {func(l *Login) { l.Home = t.TempDir() }, session.Request{IsLine: true, Line: "pwd; id -un"}, "/\n" + user.Name + "\n"},
				"groupless":   {func(l *Login) { l.Groups = nil }, session.Request{Argv: []string{"sh", "-c", "id -G | wc -w"}}, "1\n"},
			} {
				l := loginFor(user)
				if c.change != nil {
					c.change(l)
				}
				c.req.Peer.Login = l
				if out, code := outputOf(t, h, &c.req); out != c.want || code != 0 {
					t.Errorf("%s: %q, %d; want %q", name, out, code, c.want)
				}
			}
			for name, req := range map[string]session.Request{
				"root's program":   {Argv: []string{secret}},
				"root's directory": {Argv: []string{"true"}, Dir: strings.TrimSuffix(secret, "/secret")},
			} {
				req.Peer.Login = loginFor(user)
				if _, err := h.Start(t.Context(), &req); !errors.Is(err, proto.CodePermissionDenied) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// A service runs as its own account whoever asks, and with nothing of theirs.
func TestServiceAsAnotherUser(t *testing.T) {
	user := newUser(t)
	s := &Service{Name: "who", Argv: []string{"sh", "-c", "id -un; id -G; pwd; echo $HOME $USER $A"}, Login: loginFor(user)}
	want := strings.Join([]string{user.Name, strings.Trim(fmt.Sprint(user.Groups), "[]"), user.Home, user.Home + " " + user.Name + "\n"}, "\n")
	for _, mode := range []string{"cgroup", "keeper", "group"} {
		h, err := New(Options{Mode: mode, Keeper: []string{"/proc/self/exe", "session-keeper"}, Services: only(s)})
		if err != nil {
			t.Logf("%s: %v", mode, err)
			continue
		}
		t.Cleanup(func() { _ = h.Close() })
		bob := forMe(func(l *Login) {
			l.User, l.UID, l.GID, l.Groups, l.Environment = "bob", 4711, 4711, []int{4711}, []string{"A=1", "HOME=/evil"}
		})
		for name, login := range map[string]any{"another": bob, "root on a socket": nil} {
			req := &session.Request{Subsystem: "who", Peer: session.Peer{Login: login}}
			if out, code := outputOf(t, h, req); out != want || code != 0 {
				t.Errorf("%s, %s: %q, %d; want %q", mode, name, out, code, want)
			}
		}
		p, err := h.StartService(t.Context(), s, netip.AddrPort{}, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := finish(t, mode, p); out != want {
			t.Errorf("%s, a connection: %q", mode, out)
		}
	}
}

// To sshd what binds a key to a service is a program that does not exist.
func TestServiceUnderSSHD(t *testing.T) {
	user := newUser(t)
	s := startSSHD(t, user)
	keys := filepath.Dir(user.Home) + "/keys"
	public, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, append([]byte(`restrict,command="internal-service up" `), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := s.client(t, how{})
	cmd.Args = append(cmd.Args, "echo in")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 127 || len(out) > 0 {
		t.Errorf("%v, %q", err, out)
	}
}

// Root itself logs in with the groups of its account and not those of the daemon.
func TestAsRoot(t *testing.T) {
	needRoot(t)
	h := newTestHandler(t, Options{})
	l := &Login{User: "root", Groups: []int{0, 7007}, Home: "/", Shell: "/bin/sh", Exact: true}
	req := &session.Request{Argv: []string{"id", "-G"}, Peer: session.Peer{Login: l}}
	if out, _ := outputOf(t, h, req); out != "0 7007\n" {
		t.Errorf("groups %q", out)
	}
	own := *h.own
	req.Peer.Login = &own
	if out, _ := outputOf(t, h, req); !strings.HasPrefix(out, "0") {
		t.Errorf("groups %q", out)
	}
}
