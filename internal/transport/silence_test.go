//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
)

// atOnce is how many connections tests have at the same time, which fewer than
// networkPending have to be.
const atOnce = 16

// inParallel calls do for all values, atOnce of them at a time.
func inParallel[T any](values iter.Seq[T], do func(T)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for v := range values {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			do(v)
		})
	}
	wg.Wait()
}

// A quiet client says nothing more, or next to nothing, at some point of its
// login. It returns when the server ends the connection.
type quiet struct {
	name string
	act  func(raw net.Conn) error
}

// TestAttackSilence: who stops at any point of the login, or all but stops, is
// cut off by one deadline, and leaves nothing behind (CVE-2024-6387).
func TestAttackSilence(t *testing.T) {
	signer := newIdentity(t)
	sent := serveTCP(t, admit("alice", signer)).measure(t, signer)
	grace, rounds := 500*time.Millisecond, 1
	if os.Getenv(exhaustive) != "" {
		grace, rounds = 100*time.Millisecond, 1000
	}
	s := serveTCP(t, admit("alice", signer), grace)
	const points = 20
	var clients []quiet
	for i := range points {
		clients = append(clients, quiet{fmt.Sprintf("%d of %d bytes", sent[1]*i/points, sent[1]), func(raw net.Conn) error {
			return s.dialOn(t, &limited{Conn: raw, left: sent[1] * i / points}, signer)
		}})
	}
	clients = append(clients, s.quietInRecords(t, signer)...)
	for range rounds {
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { s.cutsOff(t, c) })
		}
		for range clients {
			if got := s.login(t); !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("the server says %v", got.err)
			}
		}
		wg.Wait()
	}
}

// cutsOff checks that a client is cut off: no sooner than by the deadline, for
// which the reason of the server speaks, and not much later.
func (s *tcpServer) cutsOff(t *testing.T, c quiet) {
	start := time.Now()
	raw, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer raw.Close()
	_ = raw.SetDeadline(start.Add(2 * patience))
	err = c.act(raw)
	if took := time.Since(start); err == nil || took > patience {
		t.Errorf("%s: %v after %v", c.name, err, took)
	}
}

// dialOn logs in on a connection.
func (s *tcpServer) dialOn(t *testing.T, conn net.Conn, signer auth.Signer) error {
	opts := s.options(signer)
	opts.AwaitVerdict = true
	opts.Dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	c, err := DialTCP(t.Context(), "127.0.0.1", s.port, opts)
	if err == nil {
		c.Close()
	}
	return err
}

// quietInRecords are clients whose TLS is in order, so that it is the login
// that waits, and some that never stop altogether: what they have to say would
// take them longer than the test is patient.
func (s *tcpServer) quietInRecords(t *testing.T, signer auth.Signer) []quiet {
	t.Helper()
	ask := frameOf(t, &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{signer.Key().Blob()}, Ext: make([]byte, 8)})
	answer := frameOf(t, &proto.Auth{Mode: proto.AuthKey, User: "alice", Keys: [][]byte{signer.Key().Blob()}, Signature: make([]byte, 80)})
	long := &proto.Auth{Mode: proto.AuthNegotiate, User: "alice"}
	for range proto.MaxKeys {
		long.Keys = append(long.Keys, make([]byte, 2000))
	}
	longest := frameOf(t, long)
	return []quiet{
		{"after TLS", saying()},
		{"half an AUTH", saying(ask[:len(ask)/2])},
		{"an AUTH but for a byte", saying(ask[:len(ask)-1])},
		{"after NEED_SIG", saying(ask)},
		{"half an answer", saying(ask, answer[:len(answer)/2])},
		{"an AUTH in small bits", func(raw net.Conn) error {
			conn := tls.Client(raw, clientConfig(HostKeyTypes()))
			if err := conn.Handshake(); err != nil {
				return err
			}
			_, err := (&trickle{Conn: conn, every: 5 * time.Millisecond}).Write(longest)
			return err
		}},
		{"an answer in small bits", func(raw net.Conn) error {
			conn := tls.Client(raw, clientConfig(HostKeyTypes()))
			if _, err := conn.Write(ask); err != nil {
				return err
			}
			_, err := (&trickle{Conn: conn, every: 5 * time.Millisecond}).Write(longest)
			return err
		}},
		{"TLS in small bits", func(raw net.Conn) error {
			return tls.Client(&trickle{Conn: raw, every: 20 * time.Millisecond}, clientConfig(HostKeyTypes())).Handshake()
		}},
	}
}

// saying says frames, of which all but the last must be answered, and then
// waits for the end. A session that begins would be an error of nil.
func saying(frames ...[]byte) func(net.Conn) error {
	return func(raw net.Conn) error {
		conn := tls.Client(raw, clientConfig(HostKeyTypes()))
		if err := conn.Handshake(); err != nil {
			return err
		}
		for i, frame := range frames {
			if _, err := conn.Write(frame); err != nil {
				return err
			}
			if i == len(frames)-1 {
				break
			}
			if _, err := proto.ReadAuthResult(conn); err != nil {
				return err
			}
		}
		for {
			if r, err := proto.ReadAuthResult(conn); err != nil {
				return err
			} else if r.Code == proto.AuthOK {
				return nil
			}
		}
	}
}

// limited passes on so many bytes and swallows the rest.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if n > 0 {
		if m, err := l.Conn.Write(p[:n]); err != nil {
			return m, err
		}
	}
	return len(p), nil
}

// trickle sends a byte now and then.
type trickle struct {
	net.Conn
	every time.Duration
}

func (c *trickle) Write(p []byte) (int, error) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		<-tick.C
	}
	return len(p), nil
}
