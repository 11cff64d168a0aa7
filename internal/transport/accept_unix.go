//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// An acceptor is what listeners have in common: they wait when descriptors run
// out, keep some in reserve, and do not let strangers flood the log.
type acceptor struct {
	maxFD  int
	log    *slog.Logger
	warned limiter
	closed chan struct{} // by the listener's Close
}

// newAcceptor returns the parts of an acceptor; a nil log discards.
func newAcceptor(log *slog.Logger) acceptor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return acceptor{maxFD: descriptorLimit(), log: log, closed: make(chan struct{})}
}

// accept calls next, which returns nil for a connection that was not let in,
// until there is a connection, or an error that is no shortage. addr is the
// listener's, for the log.
func (a *acceptor) accept(addr string, next func() (net.Conn, error)) (net.Conn, error) {
	for {
		conn, err := next()
		switch {
		case err == nil && conn != nil:
			return conn, nil
		case err == nil:
		case outOfResources(err):
			a.limited(addr).Warn("cannot accept connections for now", "err", err)
			a.pause()
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		default:
			return nil, err
		}
	}
}

// full reports whether fd is one of the descriptors in reserve.
func (a *acceptor) full(fd int) bool { return fd >= a.maxFD-reservedFiles }

// pause waits a moment, or until Close.
func (a *acceptor) pause() {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.closed:
	}
}

// limited is the log for what anybody who connects can cause: it takes one
// line in each minute and says how many it did not.
func (a *acceptor) limited(addr string) *slog.Logger {
	suppressed, ok := a.warned.ok(time.Now())
	if !ok {
		return slog.New(slog.DiscardHandler)
	}
	return a.log.With("addr", addr, "suppressed", suppressed)
}

// outOfResources reports whether accepting failed because something has run
// out that comes back.
func outOfResources(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
