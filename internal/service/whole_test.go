//go:build linux || darwin || freebsd

package service

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialNarrow connects a client whose system takes little ahead, so that an answer
// stays with the server's.
func (s *server) dialNarrow() *client {
	s.t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
		return errors.Join(cerr, err)
	}}
	conn, err := d.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{halfConn: conn.(halfConn), t: s.t}
}

// TestCutAfterWholeAnswer: an answer whose end was sent stays whole, whatever is
// done with the program afterwards, also for a client that reads late.
func TestCutAfterWholeAnswer(t *testing.T) {
	const size = 300_000
	for name, limits := range map[string]Limits{
		"time": {Total: 300 * time.Millisecond}, "idle": {Idle: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			word := aeon()
			s := serve(t, "tcp", &Service{Limits: limits}, sh("head -c 300000 /dev/zero; exec >&-; exec sleep "+word)...)
			c := s.dialNarrow()
			wantGone(t, word) // the limit has ended it
			c.finish()
			b, err := io.ReadAll(c)
			if err != nil || len(b) != size {
				t.Errorf("%d bytes, then %v", len(b), err)
			}
			s.wantEnd(name)
		})
	}
}

// TestLingerWithoutBound: no bound in all is not no time at all.
func TestLingerWithoutBound(t *testing.T) {
	s := serve(t, "tcp", &Service{Linger: Linger{Total: -1}}, "head", "-c", "10")
	for range 5 {
		c := s.dial()
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, io.LimitReader(zeros{}, 8<<20))
			sent <- errors.Join(err, c.CloseWrite())
		}()
		if err := <-sent; err != nil {
			t.Fatalf("send: %v", err)
		}
		if got := c.rest(); got != strings.Repeat("0", 10) {
			t.Fatalf("answer %q", got)
		}
	}
}
