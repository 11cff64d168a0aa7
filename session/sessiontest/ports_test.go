package sessiontest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ports are known beforehand.
func TestPorts(t *testing.T) { eachNetwork(t, testPorts) }

func testPorts(t *testing.T, n *Network) {
	listen := func(host string, port int) (net.Listener, error) { return n.Host(host).Listen(t.Context(), port) }
	for i, want := range []string{"α:1", "α:2", "β:1", "α:3", "β:2"} {
		host, _, _ := strings.Cut(want, ":")
		l, err := listen(host, 0)
		if err != nil || l.Addr().String() != want || l.Addr().Network() != "testnet" {
			t.Errorf("%d: %v, %v", i, l, err)
		}
		if i == 1 {
			must(t, l.Close()) // and 2 is not given out again
		}
	}
	if _, err := listen("β", 4); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"β:3", "β:5"} { // somebody has 4
		if l, err := listen("β", 0); err != nil || l.Addr().String() != want {
			t.Errorf("%v, %v, want %s", l, err, want)
		}
	}
	if _, err := listen("α", 1); !errors.Is(err, syscall.EADDRINUSE) || err.Error() != "listen testnet α:1: address already in use" {
		t.Error(err)
	}
	if l, err := listen("α", 2); err != nil || l.Addr() != (Addr{"α", 2}) {
		t.Error("a closed port cannot be had again:", err)
	}
	for _, port := range []int{-1, 65536} {
		if _, err := listen("α", port); err == nil {
			t.Errorf("port %d", port)
		}
	}
}

// There is no port behind the last one.
func TestPortsEnd(t *testing.T) { eachNetwork(t, testPortsEnd) }

func testPortsEnd(t *testing.T, n *Network) {
	h := n.Host("a")
	h.listened = maxPort - 3 // so many are chosen already
	_, err := h.Listen(t.Context(), maxPort-1)
	must(t, err)
	for _, want := range []int{maxPort - 2, maxPort} {
		if l, err := h.Listen(t.Context(), 0); err != nil || l.Addr() != (Addr{"a", want}) {
			t.Errorf("%v, %v, want %d", l, err, want)
		}
	}
	for range 2 {
		if l, err := h.Listen(t.Context(), 0); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%v, %v", l, err)
		}
	}
	if _, err := h.Listen(t.Context(), 1); err != nil {
		t.Error("a port that is free:", err)
	}
}

// The ports of dialers come again, but not while a connection has one.
func TestDialedPortsComeAgain(t *testing.T) { eachNetwork(t, testDialedPortsComeAgain) }

func testDialedPortsComeAgain(t *testing.T, n *Network) {
	h := n.Host("a")
	first, s := pairOn(t, n)
	h.dialed += dialPorts - 2 // so many have come and gone
	for _, want := range []int{maxPort, firstDial + 1} {
		c, other := pairOn(t, n)
		if c.LocalAddr() != (Addr{"a", want}) {
			t.Errorf("%v, want %d", c.LocalAddr(), want)
		}
		must(t, errors.Join(c.Close(), other.Close()))
	}
	must(t, errors.Join(first.Close(), s.Close()))
	for _, to := range []string{"b:9", "c:1"} {
		if _, err := h.Dial(t.Context(), to); err == nil {
			t.Error("somebody listens on", to)
		}
	}
	if len(h.dialing) != 0 {
		t.Errorf("ports that nobody has: %v", h.dialing)
	}
}

// Who has dialed from all ports dials again when one is free, at both ends.
func TestDialedPortsEnd(t *testing.T) {
	n := NewNetwork(t)
	l, err := n.Host("b").Listen(t.Context(), 0)
	must(t, err)
	var near, far net.Conn
	for range dialPorts {
		near, err = n.Host("a").Dial(t.Context(), "b:1")
		must(t, err)
		far, err = l.Accept()
		must(t, err)
	}
	full := func() {
		t.Helper()
		if c, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%v, %v", c, err)
		}
	}
	full()
	must(t, near.Close())
	full()
	must(t, far.Close())
	again, err := n.Host("a").Dial(t.Context(), "b:1")
	must(t, err)
	if again.LocalAddr() != near.LocalAddr() {
		t.Errorf("%v, want %v", again.LocalAddr(), near.LocalAddr())
	}
	full()
}

// A process that was stopped in the middle of a change holds the registry's lock:
// who listens waits no longer than the context says, even behind one who has all
// the time.
func TestListenBehindALock(t *testing.T) {
	n := join(t, t.TempDir())
	f, err := os.OpenFile(n.member.registry.path("lock"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, lock(f)) // as another process would have it
	patient, hurried := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := n.Host("b").Listen(t.Context(), 0)
		patient <- err
	}()
	for range 2 { // b's Listen waits by the second, if not before
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := n.Host("c").Listen(ctx, 0)
			hurried <- err
		}()
		select {
		case err := <-hurried:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("Listen waits for the lock without its context")
		}
	}
	must(t, f.Close())
	must(t, <-patient)
	if !n.member.knows("b") || n.member.knows("c") {
		t.Error("b should be a host, and c not")
	}
}
