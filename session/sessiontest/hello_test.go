package sessiontest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// hellos are lines that are one.
var hellos = []hello{
	{network: "net", token: "t", from: Addr{"α", 49152}, to: Addr{"β", 1}},
	{network: "net", token: "t"},
	{network: strings.Repeat("n", maxName), token: strings.Repeat("t", maxName), from: Addr{strings.Repeat("a", maxName), maxPort}, to: Addr{strings.Repeat("b", maxName), maxPort}},
}

// notHellos are lines that are none.
var notHellos = []string{
	"", " ", "x", "GET / HTTP/1.1", "sessiontest/2 net t news", "sessiontest/1 net t", "sessiontest/1 net t old", "sessiontest/1 net t news ",
	"sessiontest/1  t news", "sessiontest/1 net t dial a:1", "sessiontest/1 net t dial a:1 b:0", "sessiontest/1 net t dial a:1 b:01",
	"sessiontest/1 net t dial a:1 b:65536", "sessiontest/1 net t dial a:1 b:1:2", "sessiontest/1 net t dial :1 b:1", "sessiontest/1 net t dial a:1 b\x1b:1",
	"sessiontest/1 net t dial a:1 \xff:1", "sessiontest/1 net t news\r", "sessiontest/1 net t dial a:1 " + strings.Repeat("b", maxLine) + ":1",
}

func TestHello(t *testing.T) {
	for _, want := range hellos {
		if len(want.String()) > maxLine {
			t.Errorf("%d bytes", len(want.String()))
		}
		if got, err := parseHello(want.String()); got != want || err != nil {
			t.Errorf("%q: %+v, %v", want, got, err)
		}
	}
	for _, line := range notHellos {
		if h, err := parseHello(line); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %+v, %v", line, h, err)
		}
	}
}

// What is taken is written in one way only.
func FuzzHello(f *testing.F) {
	for _, h := range hellos {
		f.Add(h.String())
	}
	for _, line := range notHellos {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		switch h, err := parseHello(line); {
		case err == nil && h.String() != line:
			t.Errorf("%q is taken for %q", line, h)
		case err == nil && (!isName(h.network) || !isName(h.token) || len(line) > maxLine):
			t.Errorf("%q is taken", line)
		case err != nil && !errors.Is(err, ErrProtocol):
			t.Error(err)
		}
	})
}

func FuzzReadLine(f *testing.F) {
	f.Add("ok\n")
	f.Add("ok")
	f.Add(strings.Repeat("x", maxLine+1) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := strings.NewReader(text)
		line, err := readLine(r)
		want, _, whole := strings.Cut(text, "\n")
		if whole = whole && len(want) <= maxLine; whole != (err == nil) || whole && line != want {
			t.Errorf("%q, %v of %q", line, err, text)
		}
		if read := len(text) - r.Len(); read > maxLine+1 || whole && read != len(want)+1 {
			t.Errorf("%d bytes were read", read)
		}
	})
}

// Whoever connects to a process and does not say what the protocol has them say
// is told so, and is not waited for.
func TestHostileHello(t *testing.T) {
	n := join(t, t.TempDir())
	l, err := n.Host("b").Listen(t.Context(), 0)
	must(t, err)
	go serveEcho(l)
	good := hello{network: "net", token: n.member.token, from: Addr{"a", firstDial}, to: Addr{"b", 1}}
	other := func(change func(*hello)) string {
		h := good
		change(&h)
		return h.String() + "\n"
	}
	for name, c := range map[string]struct{ says, answer string }{
		"good":          {good.String() + "\n", "ok\n"},
		"nobody":        {other(func(h *hello) { h.to.Port = 2 }), "refused\n"},
		"no such host":  {other(func(h *hello) { h.to.Host = "c" }), "refused\n"},
		"other network": {other(func(h *hello) { h.network = "other" }), "mismatch\n"},
		"other token":   {other(func(h *hello) { h.token = "guess" }), "mismatch\n"},
		"garbage":       {"GET / HTTP/1.1\r\n\r\n", "protocol\n"},
		"too long":      {strings.Repeat("x", maxLine+1), "protocol\n"},
		"no newline":    {good.String(), "protocol\n"},
		"nothing":       {"", "protocol\n"},
	} {
		c1, err := net.Dial("tcp", n.member.listener.Addr().String())
		must(t, err)
		write(t, c1, c.says)
		_ = c1.(*net.TCPConn).CloseWrite() // the other end may have closed already
		if got, err := io.ReadAll(c1); string(got) != c.answer {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = c1.Close()
	}
	must(t, echo(t.Context(), n, "a", "b:1", "still there"))
	// Who says nothing is let go of with the network, if not before.
	silent, err := net.Dial("tcp", n.member.listener.Addr().String())
	must(t, err)
	defer silent.Close()
	must(t, n.Close())
}

// Silence is bounded by time, and interrupted by the context.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = readLine(far) }()
		if err := greet(t.Context(), near, hellos[0]); !errors.Is(err, ErrProtocol) {
			t.Error(err)
		}
		near, far = net.Pipe()
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		go func() {
			_, _ = readLine(far)
			cancel(gone)
		}()
		if err := greet(ctx, near, hellos[0]); !errors.Is(err, gone) {
			t.Error(err)
		}
		_, _ = near.Close(), far.Close()
	})
}

// Each refusal is an error of its own to who dials, also of a process that has
// the address of one that is no more.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"refused":  {"refused\n", syscall.ECONNREFUSED},
		"mismatch": {"mismatch\n", ErrNetworkMismatch},
		"protocol": {"protocol\n", ErrProtocol},
		"garbage":  {"SSH-2.0-x\x1b\n", ErrProtocol},
		"long":     {strings.Repeat("x", maxLine+1), ErrProtocol},
		"half":     {"ok", ErrProtocol},
		"nothing":  {"", ErrProtocol},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() {
			c1, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = readLine(c1)
			_, _ = io.WriteString(c1, c.answer)
			_ = c1.Close()
		}()
		e, err := n.member.registry.hold(hosts, name, l.Addr().String())
		must(t, err)
		_, err = n.Host("a").Dial(t.Context(), name+":1")
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		for _, other := range []error{syscall.ECONNREFUSED, ErrNetworkMismatch, ErrProtocol} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: %v is %v too", name, err, other)
			}
		}
		must(t, e.release())
		_ = l.Close()
	}
}

// A process that is stopped accepts in its kernel and says nothing: who dials is
// not held longer than the context.
func TestDialOfSilence(t *testing.T) {
	n := join(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	e, err := n.member.registry.hold(hosts, "b", l.Addr().String())
	must(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	heard := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = readLine(c)
		}
		cancel(gone)
		heard <- c
	}()
	if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, gone) {
		t.Error(err)
	}
	must(t, errors.Join((<-heard).Close(), e.release()))
}

// Two networks in one directory have nothing to do with each other.
func TestTwoNetworks(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	_, err := n.Host("b").Listen(t.Context(), 0)
	must(t, err)
	o, err := Join(dir, "other")
	must(t, err)
	defer o.Close()
	if _, err := o.Host("b").Listen(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := o.Host("a").Dial(t.Context(), "b:1"); err != nil {
		t.Error(err)
	}
	address, _ := n.member.registry.look(hosts, "b")
	if _, err := o.member.reach(t.Context(), address, hello{network: "net", token: o.member.token}); !errors.Is(err, ErrNetworkMismatch) {
		t.Error(err)
	}
}

// A directory that others can look into, or that is no directory, is refused, as
// are names that are none.
func TestJoinRefuses(t *testing.T) {
	needsJoin(t)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	if _, err := Join(dir, "net"); err == nil || !strings.Contains(err.Error(), "open to others, chmod 700 closes it") {
		t.Error(err)
	}
	must(t, os.Chmod(dir, 0o700))
	must(t, os.Symlink(dir, dir+"/link"))
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	for _, name := range []string{"/link", "/file", "/no/such"} {
		if n, err := Join(dir+name, "net"); err == nil {
			t.Errorf("%s: %v", name, n.Close())
		}
	}
	for _, name := range []string{"", "a b", "a:b", "a\x00"} {
		if n, err := Join(dir, name); err == nil {
			t.Errorf("%q: %v", name, n.Close())
		}
	}
	for _, name := range []string{".", "..", "a/b", "α"} { // are names, and no paths
		n, err := Join(dir, name)
		must(t, err)
		_, err = n.Host(name).Listen(t.Context(), 0)
		must(t, errors.Join(err, n.Close(), n.Close()))
		if _, err := n.Host(name).Listen(t.Context(), 0); !errors.Is(err, net.ErrClosed) {
			t.Error("after Close:", err)
		}
	}
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(dir+"/theirs", 0o700))
		must(t, os.Chown(dir+"/theirs", 1, -1))
		if _, err := Join(dir+"/theirs", "net"); err == nil || !strings.Contains(err.Error(), "another user's") {
			t.Error(err)
		}
	}
}

// The first process finds no faults, and the files are closed to others.
func TestFaultsEndWithTheNetwork(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	n.Cut("a", "b")
	n.DropAfter("a", "b", 1)
	must(t, n.Close())
	n.Mend("a", "b") // nobody is on the network to be told
	n = join(t, dir)
	if state, _ := n.link("a", "b").state(); state != (faults{}) {
		t.Errorf("%+v", state)
	}
	for _, name := range []string{"", "token", "faults", "lock", processes, hosts} {
		info, err := os.Stat(n.member.registry.path(name))
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
}

func TestAddrPort(t *testing.T) {
	a, b := Addr{"α", 1}.AddrPort(), Addr{"β", 1}.AddrPort()
	if !a.Addr().IsPrivate() || a.Port() != 1 || a.String() == b.String() || a != (Addr{"α", 1}).AddrPort() {
		t.Error(a, b)
	}
	if near, _ := a.Addr().Prefix(64); near.Contains(b.Addr()) {
		t.Error("two hosts in one network")
	}
}
