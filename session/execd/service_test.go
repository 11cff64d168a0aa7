//go:build unix

package execd

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// only is a table with one service.
func only(s *Service) func(string) (*Service, bool) {
	return func(name string) (*Service, bool) { return s, name == s.Name }
}

// show is a service that says what it got.
func show(change func(*Service)) *Service {
	s := &Service{Name: "show", Argv: []string{"sh", "-c", `echo "$*|$(pwd)|$SSH_ORIGINAL_COMMAND"`, "sh", "a  b", "$HOME"}, Dir: "/"}
	if change != nil {
		change(s)
	}
	return s
}

func bound(name string) *Login { return forMe(func(l *Login) { l.Service = name }) }

// What runs is the service as it was configured, by whichever way it is asked for.
func TestService(t *testing.T) {
	h := newTestHandler(t, Options{Services: only(show(nil))})
	for name, c := range map[string]struct {
		login *Login
		req   session.Request
		want  string // SSH_ORIGINAL_COMMAND
	}{
		"asked for":         {forMe(nil), session.Request{Subsystem: "show"}, ""},
		"restricted shell":  {forMe(func(l *Login) { l.Exact, l.Shell = false, "/bin/false" }), session.Request{Subsystem: "show"}, ""},
		"bound, shell":      {bound("show"), session.Request{}, ""},
		"bound, line":       {bound("show"), session.Request{IsLine: true, Line: "id; x"}, "id; x"},
		"bound, argv":       {bound("show"), session.Request{Argv: []string{"id", "a b"}}, "id 'a b'"},
		"bound, path":       {bound("show"), session.Request{Argv: []string{"x"}, Path: "/bin/sh"}, "/bin/sh"},
		"bound, by name":    {bound("show"), session.Request{Subsystem: "show"}, "show"},
		"bound, other":      {bound("show"), session.Request{Subsystem: "sftp"}, "sftp"},
		"bound, directory":  {bound("show"), session.Request{IsLine: true, Line: "x", Dir: "/usr"}, "x"},
		"bound and command": {forMe(func(l *Login) { l.Service, l.Command = "show", new(string) }), session.Request{IsLine: true, Line: "x"}, "x"},
	} {
		c.req.Peer.Login = c.login
		if out, code := outputOf(t, h, &c.req); out != "a  b $HOME|/|"+c.want+"\n" || code != 0 {
			t.Errorf("%s: %q, %d", name, out, code)
		}
	}
	// This process's own user, as on a Unix socket.
	if out, code := outputOf(t, h, &session.Request{Subsystem: "show"}); out != "a  b $HOME|/|\n" || code != 0 {
		t.Errorf("own user: %q, %d", out, code)
	}
}

func TestServiceRefused(t *testing.T) {
	h := newTestHandler(t, Options{Services: only(show(func(s *Service) { s.Users, s.Groups = []string{"me"}, []int{4711} }))})
	byName := session.Request{Subsystem: "show"}
	with := func(change func(*session.Request)) session.Request {
		r := byName
		change(&r)
		return r
	}
	bob := func(l *Login) { l.User = "bob" }
	command := "true"
	for name, c := range map[string]struct {
		login *Login
		req   session.Request
		code  proto.Code // empty: allowed
		want  string     // in the message
	}{
		"unknown":              {forMe(nil), session.Request{Subsystem: "other"}, proto.CodeNoSubsystem, `there is no service "other"`},
		"bound to none":        {bound("other"), byName, proto.CodeNoSubsystem, `runs the service "other" and nothing else, and there is none`},
		"bound to none, shell": {bound("other"), session.Request{}, proto.CodeNoSubsystem, "and nothing else"},
		"allowed user":         {forMe(nil), byName, "", ""},
		"another user":         {forMe(bob), byName, proto.CodePermissionDenied, `the service "show" is not for "bob"`},
		"group":                {forMe(func(l *Login) { bob(l); l.Groups = []int{1, 4711} }), byName, "", ""},
		"bound, another user":  {forMe(func(l *Login) { bob(l); l.Service = "show" }), session.Request{}, proto.CodePermissionDenied, "is not for"},
		"forced command":       {forMe(func(l *Login) { l.Command = &command }), byName, "", ""}, // which runs instead, see below
		"terminal":             {forMe(nil), with(func(r *session.Request) { r.Term = &session.Term{} }), proto.CodePermissionDenied, "(-T)"},
		"bound, terminal":      {bound("show"), session.Request{Term: &session.Term{}}, proto.CodePermissionDenied, "(-T)"},
		"keep":                 {forMe(nil), with(func(r *session.Request) { r.Orphan = session.OrphanKeep }), proto.CodeUnsupported, "--orphan keep"},
		"bound, keep":          {bound("show"), session.Request{IsLine: true, Orphan: session.OrphanKeep}, proto.CodeUnsupported, "--orphan keep"},
		"directory":            {forMe(nil), with(func(r *session.Request) { r.Dir = "/usr" }), proto.CodeUnsupported, "--dir"},
	} {
		c.req.Peer.Login = c.login
		p, err := h.Start(t.Context(), &c.req)
		refused, _ := errors.AsType[*session.Refusal](err)
		switch {
		case err == nil:
			_, _ = p.Wait()
			if _ = p.Release(); c.code != "" {
				t.Errorf("%s: it was started", name)
			}
		case refused == nil || refused.Code != c.code || !strings.Contains(refused.Message, c.want):
			t.Errorf("%s: %v, want %q %q", name, err, c.code, c.want)
		}
	}
}

// A key with a forced command reaches no service by asking for it.
func TestServiceBesideForcedCommand(t *testing.T) {
	h := newTestHandler(t, Options{Services: only(show(nil))})
	command := "echo forced $SSH_ORIGINAL_COMMAND"
	req := &session.Request{Subsystem: "show", Peer: session.Peer{Login: forMe(func(l *Login) { l.Command = &command })}}
	if out, _ := outputOf(t, h, req); out != "forced show\n" {
		t.Errorf("%q", out)
	}
}

// The environment is built from nothing: neither the client nor the account's
// keys have a say, and both ways to a service give the same.
func TestServiceEnvironment(t *testing.T) {
	s := &Service{Name: "env", Argv: []string{"env"}, Dir: "/", Env: []string{"A=service", "PATH=/opt/x:/usr/bin:/bin", "REX_SERVICE=no", "LD_X=1"}}
	h := newTestHandler(t, Options{Services: only(s), TZ: "UTC"})
	remote, local := netip.MustParseAddrPort("192.0.2.7:50000"), netip.MustParseAddrPort("192.0.2.1:7390")
	login := forMe(func(l *Login) {
		l.Environment, l.Remote, l.Local = []string{"B=key", "A=key"}, remote, local
	})
	want := []string{
		"A=service", "HOME=/", "LD_X=1", "LOGNAME=me", "MAIL=/var/mail/me", "PATH=/opt/x:/usr/bin:/bin",
		"REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=50000", "REX_CONNECTION=192.0.2.7 50000 192.0.2.1 7390", "REX_SERVICE=env", "SHELL=/bin/sh", "TZ=UTC", "USER=me",
	}
	req := &session.Request{Subsystem: "env", Env: []string{"A=client", "B=client", "LANG=C", "TERM=vt52"}, Peer: session.Peer{Login: login}, Stdout: true}
	p, err := h.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if dropped := p.DroppedEnv(); !slices.Equal(dropped, []string{"A", "B", "LANG", "TERM"}) {
		t.Errorf("dropped %q", dropped)
	}
	check := func(name string, p session.Process) {
		out, _ := finish(t, name, p)
		if got := sortedLines(out); !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\n%q", name, got, want)
		}
	}
	check("a session", p)
	s.Login = forMe(nil)
	if p, err = h.StartService(t.Context(), s, remote, local); err != nil {
		t.Fatal(err)
	}
	_ = p.Stdin().Close()
	check("a connection", p)
}

func sortedLines(text string) []string {
	return slices.Sorted(strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n"))
}

// A terminal is the service's own where the client wants none.
func TestServiceTerminal(t *testing.T) {
	s := show(func(s *Service) {
		s.Argv = []string{"sh", "-c", `test -t 1 && exec 3>&1 && stty -a <&3 | tr ';' '\n' | grep -o -e '-\{0,1\}\bopost' -e 'columns [0-9]*'; test -t 0 && echo "on $TERM"; true`}
		s.Terminal = true
	})
	h := newTestHandler(t, Options{Services: only(s)})
	req := session.Request{Subsystem: "show", Peer: session.Peer{Login: forMe(func(l *Login) { l.PTY = false })}}
	if out, _ := outputOf(t, h, &req); out != "columns 80\n-opost\n" {
		t.Errorf("its own: %q", out)
	}
	req.Term = &session.Term{Name: "vt52", Cols: 44, Rows: 7}
	if _, err := h.Start(t.Context(), &req); !errors.Is(err, proto.CodePermissionDenied) {
		t.Errorf("a login without terminals: %v", err)
	}
	req.Peer.Login = forMe(nil)
	if out, _ := outputOf(t, h, &req); out != "columns 44\r\nopost\r\non vt52\r\n" {
		t.Errorf("the client's: %q", out)
	}
	req.Term = &session.Term{Name: "/tmp/evil", Cols: 44, Rows: 7}
	if out, _ := outputOf(t, h, &req); out != "columns 44\r\nopost\r\non \r\n" {
		t.Errorf("a bad name: %q", out)
	}
}

// Places are taken before the start and given back once, at the end or when
// there was no start.
func TestServicePlaces(t *testing.T) {
	var taken, given atomic.Int32
	full := errors.New("2 run already")
	var deny error
	s := show(func(s *Service) {
		s.Enter = func(peer session.Peer) (func(), error) {
			if peer.Addr != "192.0.2.7:5" || deny != nil {
				return nil, deny
			}
			taken.Add(1)
			return sync.OnceFunc(func() { given.Add(1) }), nil
		}
	})
	h := newTestHandler(t, Options{Services: only(s)})
	req := &session.Request{Subsystem: "show", Peer: session.Peer{Addr: "192.0.2.7:5"}}
	p, err := h.Start(t.Context(), req)
	if err != nil || taken.Load() != 1 || given.Load() != 0 {
		t.Fatalf("%v, %d taken, %d given", err, taken.Load(), given.Load())
	}
	_, _ = p.Wait()
	if err := p.End(t.Context()); err != nil || given.Load() != 1 { // although nobody has read what is left
		t.Errorf("%v, %d given back with the tree", err, given.Load())
	}
	if err := errors.Join(p.Release(), p.Release()); err != nil || given.Load() != 1 {
		t.Errorf("%v, %d given back", err, given.Load())
	}
	s.Argv = []string{"/no/such/program"}
	if _, err := h.Start(t.Context(), req); !errors.Is(err, proto.CodeNotFound) || taken.Load() != 2 || given.Load() != 2 {
		t.Errorf("%v, %d taken, %d given", err, taken.Load(), given.Load())
	}
	deny = full
	_, err = h.Start(t.Context(), req)
	if refused, ok := errors.AsType[*session.Refusal](err); !ok || refused.Code != proto.CodeBusy || !strings.Contains(refused.Message, "2 run already") {
		t.Errorf("full: %v", err)
	}
}

// A client ends what it has not chosen, and tells it nothing else: sshd takes no
// signals for a forced command.
func TestBoundSignals(t *testing.T) {
	forced := "trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.05; done"
	s := show(func(s *Service) { s.Argv = []string{"sh", "-c", forced} })
	h := newTestHandler(t, Options{Services: only(s)})
	for name, req := range map[string]*session.Request{
		"service": {Subsystem: "show", Stdout: true},
		"forced":  {IsLine: true, Line: "x", Stdout: true, Peer: session.Peer{Login: forMe(func(l *Login) { l.Command = &forced })}},
	} {
		p, err := h.Start(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if b := make([]byte, 6); !readsAll(p.Stdout(), b) || string(b) != "ready\n" {
			t.Errorf("%s: %q", name, b)
		}
		for _, sig := range []string{"USR1", "STOP", "QUIT", "ALRM", "WINCH"} {
			for _, to := range []session.Target{session.ToProcess, session.ToGroup, session.ToTree} {
				if err := p.Signal(sig, to); err == nil {
					t.Errorf("%s: %s was sent to the %s", name, sig, to)
				}
			}
		}
		if err := p.Signal("TERM", session.ToProcess); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		exit, err := p.Wait()
		rest, _ := io.ReadAll(p.Stdout()) // to its end: the tree is told, and not the shell alone
		if err != nil || exit.Signal == nil || exit.Signal.Name != "TERM" || len(rest) > 0 {
			t.Errorf("%s: %+v, %v, %q", name, exit, err, rest)
		}
		_ = p.Release()
	}
}

func readsAll(r io.Reader, b []byte) bool {
	_, err := io.ReadFull(r, b)
	return err == nil
}

// Nothing that a service put in the background outlives it.
func TestServiceLeavesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := show(func(s *Service) { s.Argv = []string{"sh", "-c", "sleep 600 >&- 2>&- & echo $! >" + file} })
	h := newTestHandler(t, Options{Services: only(s)})
	p, err := h.Start(t.Context(), &session.Request{Subsystem: "show"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.Wait()
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("it runs: %s", stat)
	}
}

// A service that is incomplete does not run as somebody else.
func TestServiceOfNobody(t *testing.T) {
	h := newTestHandler(t, Options{Services: only(show(func(s *Service) { s.Login = &Login{} }))})
	if _, err := h.Start(t.Context(), &session.Request{Subsystem: "show"}); !errors.Is(err, proto.CodePermissionDenied) {
		t.Error(err)
	}
	if _, err := h.StartService(t.Context(), show(func(s *Service) { s.Login = &Login{User: "x"} }), netip.AddrPort{}, netip.AddrPort{}); !errors.Is(err, proto.CodePermissionDenied) {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		if _, err := h.StartService(t.Context(), show(nil), netip.AddrPort{}, netip.AddrPort{}); !errors.Is(err, proto.CodePermissionDenied) {
			t.Errorf("root runs what nobody told it to: %v", err)
		}
	}
}
