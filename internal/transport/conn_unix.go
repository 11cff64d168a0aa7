//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/rexec/rex/proto"
)

// overflowUID is what the kernel reports for users that have no id in this
// user namespace, and the id of nobody besides: it names nobody in particular.
const overflowUID = 65534

// A UnixConn is an accepted connection. It carries nothing until Handshake has
// succeeded. Its methods may be called concurrently, with one Read and one
// Write at a time.
type UnixConn struct {
	conn     *net.UnixConn
	peer     PeerAddr
	listener *UnixListener
	ticket   *ticket
	stage    stage
	// Set before the stage is ready.
	user       string
	forCommand bool
}

// Handshake reads the peer's login and answers it. The login succeeds if the
// peer has the uid of this process and names an account of it; it must be
// complete within 30 s or before ctx ends. If it fails, the peer is told, the
// connection is closed, and the error is a [*LoginError]. A connection has one
// Handshake.
//
// It returns up to 2 s after the failure, until the peer has read the verdict.
func (c *UnixConn) Handshake(ctx context.Context) error {
	if !c.stage.begin() {
		return c.failure(errors.New("a connection has one handshake"))
	}
	defer c.ticket.leave()
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	stop := cutOff(ctx, c.conn)
	err := c.login()
	if err != nil {
		refuse(c.conn, err, c.listener.drain)
	}
	if late := !stop(); late && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		err = fmt.Errorf("not complete in time: %w", context.Cause(ctx))
	}
	if err == nil && c.stage.succeed() {
		return nil
	}
	defer c.Close()
	return c.failure(err)
}

// failure is the error of a login that did not succeed because of err.
func (c *UnixConn) failure(err error) error {
	return &LoginError{Peer: c.peer, Err: c.stage.reason(err)}
}

func (c *UnixConn) login() error {
	if err := c.admissible(); err != nil {
		return err // before a byte of the peer is read
	}
	auth, err := proto.ReadAuth(&loginReader{conn: c.conn, uid: c.peer.UID})
	if err != nil {
		return err
	}
	if auth.Mode != proto.AuthPeer && auth.Mode != proto.AuthDescriptors {
		return denial("a Unix socket takes the credentials of its peer, and no keys")
	}
	c.forCommand = auth.Mode == proto.AuthDescriptors
	// The usual name needs no look into what may be a database elsewhere.
	if auth.User != c.listener.name && !c.listener.accounts.has(auth.User, c.peer.UID) {
		return denial(fmt.Sprintf("user %s is not the one that connected (uid %d)", printable(auth.User), c.peer.UID))
	}
	c.user = auth.User
	raw, err := c.conn.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error { return passCredentials(fd, false) })
	}
	if err != nil {
		return err
	}
	return sendVerdict(c.conn, &proto.AuthResult{Code: proto.AuthOK}, time.Time{})
}

// admissible says whether the peer may log in at all.
func (c *UnixConn) admissible() error {
	switch {
	case c.peer.UID == overflowUID || c.peer.UID < 0:
		return denial(fmt.Sprintf("uid %d is nobody in particular and cannot log in", c.peer.UID))
	case c.peer.UID != c.listener.uid:
		return denial(fmt.Sprintf("this server serves uid %d only, and uid %d connected", c.listener.uid, c.peer.UID))
	}
	return nil
}

// crowdOut makes room for others.
func (c *UnixConn) crowdOut() {
	c.stage.crowded.Store(true)
	c.listener.limited(c.listener.where()).Warn("too many connections that have not logged in, one was dropped", "peer", c.peer.String())
	_ = c.Close()
}

// User is the account that logged in; empty before Handshake succeeded.
func (c *UnixConn) User() string {
	if !c.stage.ready() {
		return ""
	}
	return c.user
}

// UID is the user id of the peer.
func (c *UnixConn) UID() int { return c.peer.UID }

// ForCommand reports whether the peer has logged in for one command that gets
// the peer's own descriptors. What it sends is then read with ReadFiles.
func (c *UnixConn) ForCommand() bool { return c.stage.ready() && c.forCommand }

// ReadFiles is Read where descriptors may come with the bytes. They are closed
// on exec and belong to the caller; an error comes with none. More than
// [proto.MaxFiles] at once, and anything else beside bytes, is an error.
func (c *UnixConn) ReadFiles(p []byte) (n int, files []int, err error) {
	if err := c.stage.usable(); err != nil {
		return 0, nil, err
	}
	return readFiles(c.conn, p)
}

// Read reads from a peer that has logged in.
func (c *UnixConn) Read(p []byte) (int, error) {
	if err := c.stage.usable(); err != nil {
		return 0, err
	}
	return c.conn.Read(p)
}

// Write writes to a peer that has logged in.
func (c *UnixConn) Write(p []byte) (int, error) {
	if err := c.stage.usable(); err != nil {
		return 0, err
	}
	return c.conn.Write(p)
}

// Close closes the connection at once; see [Conn].
func (c *UnixConn) Close() error {
	c.stage.close()
	c.ticket.leave()
	return c.conn.Close()
}

// CloseWrite ends the direction to the peer; see [Conn].
func (c *UnixConn) CloseWrite() error {
	if err := c.stage.usable(); err != nil {
		return err
	}
	return c.conn.CloseWrite()
}

// LocalAddr is the socket's path.
func (c *UnixConn) LocalAddr() net.Addr { return c.listener.Addr() }

// RemoteAddr is a [PeerAddr].
func (c *UnixConn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline is as in [net.Conn]. A running Handshake has its own deadline.
func (c *UnixConn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline is as in [net.Conn].
func (c *UnixConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline is as in [net.Conn].
func (c *UnixConn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
