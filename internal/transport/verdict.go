//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/rexec/rex/proto"
)

// halfCloser is a connection that can end the direction to its peer alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// refuse tells the peer the verdict if it can still be told, and waits until
// it has had a chance to read it: closing with unread bytes would make the
// peer's next system call fail first.
func refuse(conn halfCloser, reason error, drain time.Duration) {
	code, text, ok := verdict(reason)
	if !ok || sendVerdict(conn, &proto.AuthResult{Code: code, Text: text}, time.Now().Add(drain)) != nil {
		return
	}
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(drain))
	_, _ = io.CopyN(io.Discard, conn, drainBytes)
}

// verdict is what the peer is told about an error; ok is false if there is
// nobody to tell.
func verdict(err error) (code proto.AuthCode, text string, ok bool) {
	if d, is := errors.AsType[denial](err); is {
		return proto.AuthDenied, string(d), true
	}
	if _, is := errors.AsType[*deniedError](err); is {
		return proto.AuthDenied, deniedText, true
	}
	if a, is := errors.AsType[*proto.AuthError](err); is {
		return a.Code, a.Reason, true
	}
	return 0, "", false
}

// sendVerdict writes the verdict; the zero deadline sets none.
func sendVerdict(conn net.Conn, result *proto.AuthResult, deadline time.Time) error {
	frame, err := result.Append(nil)
	if err != nil {
		return err
	}
	if !deadline.IsZero() {
		_ = conn.SetWriteDeadline(deadline)
	}
	_, err = conn.Write(frame)
	return err
}
