//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"syscall"
)

// A PlainListener accepts connections of any client: nothing is encrypted and
// nobody logs in. Its methods may be called concurrently.
type PlainListener struct {
	acceptor
	ln    net.Listener
	addr  net.Addr
	where string       // for logs
	end   func() error // closes ln and what belongs to it

	closeOnce sync.Once
}

// ListenPlainTCP listens on addr, which is host:port; port 0 takes a free one.
// A nil log discards.
func ListenPlainTCP(ctx context.Context, addr string, log *slog.Logger) (*PlainListener, error) {
	cfg := net.ListenConfig{KeepAliveConfig: keepAlive()}
	ln, err := cfg.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &PlainListener{acceptor: newAcceptor(log), ln: ln, addr: ln.Addr(), where: ln.Addr().String(), end: ln.Close}, nil
}

// ListenPlainUnix listens on a Unix socket with the rules for its path that
// [ListenUnix] has. The socket gets the permissions of mode, which say who may
// connect, and the group gid, before anybody can; mode 0 is 0600, gid -1 leaves
// the group as it is. A nil log discards.
func ListenPlainUnix(path string, mode fs.FileMode, gid int, log *slog.Logger) (*PlainListener, error) {
	if mode == 0 {
		mode = 0o600
	}
	socket, err := bindPath(path, access{mode.Perm(), gid}, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	return &PlainListener{acceptor: newAcceptor(log), ln: socket.ln, addr: addr, where: "unix:" + path, end: socket.close}, nil
}

// Addr is the address that the listener has, with the port that it really has.
func (l *PlainListener) Addr() net.Addr { return l.addr }

// String is the address as it is written in a configuration.
func (l *PlainListener) String() string { return l.where }

// Accept returns the next connection, a [*net.TCPConn] or [*net.UnixConn]. It
// waits when descriptors run out, and returns an error only after Close, which
// is [net.ErrClosed], or when the socket is broken.
func (l *PlainListener) Accept() (net.Conn, error) {
	return l.accept(l.where, func() (net.Conn, error) {
		c, err := l.ln.Accept()
		if err != nil || !l.full(descriptor(c)) {
			return c, err
		}
		l.limited(l.where).Warn("descriptors run out, connection refused")
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset: the client must not take this for an answer
		}
		_ = c.Close()
		l.pause()
		return nil, nil
	})
}

// Close stops accepting and ends a running Accept. Connections that were
// accepted live on. It may be called more than once.
func (l *PlainListener) Close() error {
	var err error
	l.closeOnce.Do(func() {
		close(l.closed)
		err = l.end()
	})
	return err
}

// descriptor is the number of the connection's descriptor, 0 if it is no socket.
func descriptor(c net.Conn) (fd int) {
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			_ = control(raw, func(n int) error { fd = n; return nil })
		}
	}
	return fd
}

// Peer tells who is at the other end of a connection that nobody logged in to,
// and what counts as one source of connections: an IPv4 address, the /64 of an
// IPv6 address, the user of a Unix socket. The address of the latter is a
// [PeerAddr].
func Peer(c net.Conn) (addr net.Addr, source string, err error) {
	switch c := c.(type) {
	case *net.UnixConn:
		peer, _, err := examine(c)
		return peer, PeerAddr{UID: peer.UID}.String(), err
	case *net.TCPConn:
		remote := addrPort(c.RemoteAddr())
		return net.TCPAddrFromAddrPort(remote), network(remote.Addr()), nil
	}
	return c.RemoteAddr(), c.RemoteAddr().String(), nil
}
