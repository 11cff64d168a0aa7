package transport

import (
	"net"
	"sync/atomic"
)

// Where an accepted connection is: fresh -> shaking -> ready, or from any of
// them -> closed.
const (
	connFresh int32 = iota
	connShaking
	connReady
	connClosed
)

// A stage says what may be done with an accepted connection. Its methods may
// be called concurrently.
type stage struct {
	at      atomic.Int32
	crowded atomic.Bool // it had to make room for others
}

// begin starts the only handshake, if there was none.
func (s *stage) begin() bool { return s.at.CompareAndSwap(connFresh, connShaking) }

// succeed ends the handshake, unless the connection was closed meanwhile.
func (s *stage) succeed() bool { return s.at.CompareAndSwap(connShaking, connReady) }

// close makes the connection useless for good.
func (s *stage) close() { s.at.Store(connClosed) }

func (s *stage) ready() bool { return s.at.Load() == connReady }

// usable returns nil if bytes of a session may pass.
func (s *stage) usable() error {
	switch s.at.Load() {
	case connReady:
		return nil
	case connClosed:
		return net.ErrClosed
	}
	return ErrNotAuthenticated
}

// reason is why a handshake failed: err, or what was done to the connection
// meanwhile, of which err is only a consequence.
func (s *stage) reason(err error) error {
	switch {
	case s.crowded.Load():
		return ErrCrowded
	case s.at.Load() == connClosed:
		return net.ErrClosed
	}
	return err
}
