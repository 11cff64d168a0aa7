//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/rexec/rex/mux"
)

// tlsTime bounds the TLS handshake of a client, within the time for its login.
const tlsTime = 10 * time.Second

// maxServerWindow bounds what a server may have to hold for one stream, in
// bytes.
const maxServerWindow = 4 << 20

// A ServerConn is an accepted connection over TCP. It carries nothing until
// Handshake has succeeded. Its methods may be called concurrently, with one
// Read and one Write at a time.
type ServerConn struct {
	raw           net.Conn
	tls           *tls.Conn
	remote, local netip.AddrPort
	listener      *TCPListener
	ticket        *ticket
	stage         stage

	// Set before the stage is ready.
	link  *mux.Link
	user  string
	grant *Grant
}

// Handshake does the TLS handshake, reads the peer's login and answers it. It
// must be complete within 30 s or before ctx ends. If it fails, the peer is
// told as much as it may know, the connection is closed, and the error is a
// [*LoginError]. A connection has one Handshake.
//
// It returns up to 2 s after the failure, until the peer has read the verdict.
func (c *ServerConn) Handshake(ctx context.Context) error {
	if !c.stage.begin() {
		return c.failure(errors.New("a connection has one handshake"))
	}
	defer c.ticket.leave()
	ctx, cancel := context.WithTimeout(ctx, c.listener.grace)
	defer cancel()
	stop := cutOff(ctx, c.raw)
	err := c.login(ctx)
	if late := !stop(); late && (err == nil || isTimeout(err)) {
		err = fmt.Errorf("not complete in time: %w", context.Cause(ctx))
	}
	if err == nil && c.stage.succeed() {
		return nil
	}
	defer c.Close()
	return c.failure(err)
}

// failure is the error of a login that did not succeed because of err.
func (c *ServerConn) failure(err error) error {
	return &LoginError{Peer: c.RemoteAddr(), Err: c.stage.reason(err)}
}

func (c *ServerConn) login(ctx context.Context) error {
	shaking, cancel := context.WithTimeout(ctx, tlsTime)
	defer cancel()
	if err := c.tls.HandshakeContext(shaking); err != nil {
		return explainTLS(err)
	}
	cs := c.tls.ConnectionState()
	if err := checkState(&cs); err != nil {
		return err
	}
	id := c.listener.identities[cs.NegotiatedProtocol]
	if id == nil {
		return errors.New("tls: no host key was chosen")
	}
	l := &serverLogin{
		listener: c.listener, conn: c.tls, remote: c.remote, local: c.local,
		exporter: func() ([]byte, error) { return exported(&cs) }, alpn: cs.NegotiatedProtocol, host: id.key,
	}
	user, grant, err := l.run(ctx)
	if err != nil {
		refuse(c.tls, err, c.listener.drain)
		return err
	}
	c.user, c.grant = user, grant
	c.link = mux.NewLink(c.tls, linkConfig(c.raw, c.listener.log))
	return nil
}

// crowdOut makes room for others.
func (c *ServerConn) crowdOut() {
	c.stage.crowded.Store(true)
	c.listener.limited(c.listener.Addr().String()).Warn("too many connections that have not logged in, one was dropped", "peer", c.remote.String())
	_ = c.Close()
}

// User is the account that logged in; empty before Handshake succeeded.
func (c *ServerConn) User() string {
	if !c.stage.ready() {
		return ""
	}
	return c.user
}

// Login is what the [Authorizer] granted, nil before Handshake succeeded.
func (c *ServerConn) Login() any {
	if !c.stage.ready() {
		return nil
	}
	return c.grant.Login
}

// Read reads from a peer that has logged in.
func (c *ServerConn) Read(p []byte) (int, error) {
	if err := c.stage.usable(); err != nil {
		return 0, err
	}
	return c.link.Read(p)
}

// Write writes to a peer that has logged in.
func (c *ServerConn) Write(p []byte) (int, error) {
	if err := c.stage.usable(); err != nil {
		return 0, err
	}
	return c.link.Write(p)
}

// WriteBuffers is Write of several pieces, which are joined only once.
func (c *ServerConn) WriteBuffers(b *net.Buffers) (int64, error) {
	if err := c.stage.usable(); err != nil {
		return 0, err
	}
	return c.link.WriteBuffers(b)
}

// Window is how many bytes of each stream the peer should be able to send ahead
// so that the way to it is full, but at most what a server spares for one.
func (c *ServerConn) Window() int { return min(Window(roundTrip(c.raw)), maxServerWindow) }

// Close closes the connection at once; see [Conn].
func (c *ServerConn) Close() error {
	ready := c.stage.ready()
	c.stage.close()
	c.ticket.leave()
	if ready {
		return c.link.Close()
	}
	return c.raw.Close()
}

// CloseCode is Close, and tells the peer why if that can be done at once.
func (c *ServerConn) CloseCode(code uint16, text string) error {
	if c.stage.ready() {
		c.link.SetCloseReason(code, text)
	}
	return c.Close()
}

// CloseWrite ends the direction to the peer; see [Conn].
func (c *ServerConn) CloseWrite() error {
	if err := c.stage.usable(); err != nil {
		return err
	}
	return c.link.CloseWrite()
}

// LocalAddr is the address that the peer connected to.
func (c *ServerConn) LocalAddr() net.Addr { return shown(c.raw.LocalAddr(), c.local) }

// RemoteAddr is the address of the peer.
func (c *ServerConn) RemoteAddr() net.Addr { return shown(c.raw.RemoteAddr(), c.remote) }

// shown is an address as people know it: of TCP the plain one.
func shown(a net.Addr, plain netip.AddrPort) net.Addr {
	if _, ok := a.(*net.TCPAddr); ok {
		return net.TCPAddrFromAddrPort(plain)
	}
	return a
}

// SetDeadline does nothing: a session ends by Close, or when its peer's kernel
// is silent.
func (c *ServerConn) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline is not supported, as SetDeadline.
func (c *ServerConn) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline is not supported, as SetDeadline.
func (c *ServerConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
