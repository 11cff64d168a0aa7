package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/rexec/rex/proto"
)

var (
	// ErrNotAuthenticated is returned by Read and Write of a [UnixConn] before
	// its Handshake succeeded.
	ErrNotAuthenticated = errors.New("transport: the peer has not logged in")
	// ErrCrowded ends a Handshake when the connection had to make room because
	// too many had not logged in yet.
	ErrCrowded = errors.New("transport: too many connections that have not logged in")
	// errNobody: a server of nobody could not tell its user from unknown ones.
	errNobody = errors.New("uid 65534 stands for users that are unknown, and cannot log in: run as another user")
	// ErrNotConnection is wrapped by [Stdio] when standard input or output is
	// neither a pipe nor a stream socket.
	ErrNotConnection = errors.New("a connection is two pipes or a stream socket")
)

// An UnsafePathError says that the path of a socket could be tampered with by
// another user, or is no path for a socket at all. Nothing was bound or
// connected.
type UnsafePathError struct {
	Path   string // the socket
	Reason string // names the directory or file at fault
}

func (e *UnsafePathError) Error() string {
	return fmt.Sprintf("socket %s: %s", printable(e.Path), printable(e.Reason))
}

// An InUseError says that somebody listens on the path of a socket.
type InUseError struct {
	Path string
	PID  int // of the daemon that holds the lock; 0 if unknown
}

func (e *InUseError) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("socket %s: process %d listens there", printable(e.Path), e.PID)
	}
	return fmt.Sprintf("socket %s: another process listens there", printable(e.Path))
}

// A RefusedError is the server's verdict on a login: it answered, and said no.
type RefusedError struct {
	Code proto.AuthCode
	Text string // the server's words; already escaped and cut
}

func (e *RefusedError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("login refused (%s)", e.Code)
	}
	return fmt.Sprintf("login refused (%s): %s", e.Code, e.Text)
}

// A ForeignPeerError says that the other end speaks another protocol.
type ForeignPeerError struct {
	Protocol string // "ssh", "http", or empty if unknown
	Greeting string // its first bytes; already escaped and cut
}

func (e *ForeignPeerError) Error() string {
	if e.Protocol != "" {
		return fmt.Sprintf("the other end speaks %s, not rex", e.Protocol)
	}
	return fmt.Sprintf("the other end does not speak rex: it sent \"%s\"", e.Greeting)
}

// A LoginError is the server's side of a login that failed: what a log should
// say about it. The connection is closed.
type LoginError struct {
	Peer net.Addr
	Err  error // why; its text is escaped
}

func (e *LoginError) Error() string { return fmt.Sprintf("login of %s: %v", e.Peer, e.Err) }

// Unwrap returns the reason.
func (e *LoginError) Unwrap() error { return e.Err }

// LogAttrs returns what a log should say beside the peer: the user and the keys
// if they are known, and why, which is for each key that was tried.
func (e *LoginError) LogAttrs() []slog.Attr {
	if d, ok := errors.AsType[interface {
		error
		attrs() []slog.Attr
	}](e.Err); ok {
		return d.attrs()
	}
	return []slog.Attr{slog.String("err", e.Err.Error())}
}

// denial is a reason that the peer may know.
type denial string

func (d denial) Error() string { return string(d) }

// ignoreClosed drops the error of closing what was closed before.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// ErrNoKeys is returned by [DialTCP] when there is no key to log in with.
var ErrNoKeys = errors.New("no key to log in with")

// A HandshakeError says that no login took place, because the two ends did not
// understand each other.
type HandshakeError struct {
	Reason string // already escaped and cut
	Err    error  // nil if there is no more to know
}

func (e *HandshakeError) Error() string { return "handshake: " + e.Reason }

// Unwrap returns the cause, if there is one.
func (e *HandshakeError) Unwrap() error { return e.Err }

// A SignError says that a key of this user could not be used.
type SignError struct {
	Signer string // which one
	Err    error
}

func (e *SignError) Error() string { return fmt.Sprintf("cannot sign with %s: %v", e.Signer, e.Err) }

// Unwrap returns the cause.
func (e *SignError) Unwrap() error { return e.Err }
