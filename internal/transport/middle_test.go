//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/listentest"
)

// A middle is somebody on the way between a client and a server, who sees and
// changes every byte.
type middle struct {
	ln     net.Listener
	to     string
	change func(toServer bool) func([]byte) []byte // of one connection's direction

	mu   sync.Mutex
	sent [2]int // bytes that came, to the client and to the server
}

func newMiddle(t *testing.T, to string, change func(toServer bool) func([]byte) []byte) *middle {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{ln: ln, to: to, change: change}
	listentest.Serve(t, ln, m.between)
	return m
}

func (m *middle) port() int { return m.ln.Addr().(*net.TCPAddr).Port }

// between stands between a client and the server.
func (m *middle) between(client net.Conn) {
	server, err := net.Dial("tcp", m.to)
	if err != nil {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { m.carry(server, client, true) })
	ways.Go(func() { m.carry(client, server, false) })
	ways.Wait()
}

// carry copies until either end has closed, and closes both.
func (m *middle) carry(to, from net.Conn, toServer bool) {
	defer to.Close()
	defer from.Close()
	change := m.change(toServer)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		m.count(toServer, n)
		out := change(buf[:n])
		if out == nil && n > 0 {
			return
		}
		if _, werr := to.Write(out); err != nil || werr != nil {
			return
		}
	}
}

func (m *middle) count(toServer bool, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if toServer {
		m.sent[1] += n
	} else {
		m.sent[0] += n
	}
}

func unchanged(bool) func([]byte) []byte { return func(p []byte) []byte { return p } }

// flip changes one bit of the byte at a place.
func flip(direction bool, at int, bit uint) func(bool) func([]byte) []byte {
	return func(toServer bool) func([]byte) []byte {
		seen := 0
		return func(p []byte) []byte {
			if toServer == direction && at >= seen && at < seen+len(p) {
				p[at-seen] ^= 1 << bit
			}
			seen += len(p)
			return p
		}
	}
}

// truncate ends the connection before the byte at a place.
func truncate(direction bool, at int) func(bool) func([]byte) []byte {
	return func(toServer bool) func([]byte) []byte {
		seen := 0
		return func(p []byte) []byte {
			defer func() { seen += len(p) }()
			if toServer == direction && at < seen+len(p) {
				return nil
			}
			return p
		}
	}
}

// attempt logs in through the middle and says whether the client got its
// verdict within that time, and whether the server let somebody in.
func (s *tcpServer) attempt(t *testing.T, signer auth.Signer, within time.Duration, change func(bool) func([]byte) []byte) (client, server bool) {
	t.Helper()
	m := newMiddle(t, s.Addr().String(), change)
	defer m.ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	opts := s.options(signer)
	opts.AwaitVerdict = true
	c, err := DialTCP(ctx, "127.0.0.1", m.port(), opts)
	if err == nil {
		c.Close()
	}
	got := s.login(t)
	got.conn.Close()
	return err == nil, got.err == nil
}

// vouched makes attempts that are meant to fail, between two controls that are
// meant to succeed. If these do not, then the machine is slow and the attempts
// prove nothing: all is done again with twice the time for each.
func vouched(t *testing.T, control func(within time.Duration) bool, attempts func(within time.Duration)) {
	t.Helper()
	for within := 400 * time.Millisecond; within <= patience; within *= 2 {
		if !control(within) {
			continue
		}
		attempts(within)
		if control(within) {
			return
		}
	}
	t.Fatal("what nobody interferes with does not succeed either")
}

// sample is some of the numbers below n, or all of them if that is asked for.
func sample(n, some int) []int {
	all := rand.Perm(n)
	switch {
	case os.Getenv(exhaustive) != "":
		return all
	case testing.Short():
		some /= 10
	}
	return all[:min(n, some)]
}

// measure is how many bytes a login takes each way: 0 to the client, 1 to the
// server.
func (s *tcpServer) measure(t *testing.T, signer auth.Signer) [2]int {
	t.Helper()
	m := newMiddle(t, s.Addr().String(), unchanged)
	opts := s.options(signer)
	opts.AwaitVerdict = true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := DialTCP(ctx, "127.0.0.1", m.port(), opts)
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	sent := m.sent
	m.mu.Unlock()
	c.Close()
	got := s.login(t)
	got.conn.Close()
	return sent
}
