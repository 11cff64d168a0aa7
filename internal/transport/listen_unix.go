//go:build linux || darwin || freebsd

package transport

import (
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/proto"
)

const (
	// acceptPause is how long a listener waits when descriptors have run out.
	acceptPause = 100 * time.Millisecond
	// reservedFiles are descriptors that no new connection may take: what runs
	// already needs them to end.
	reservedFiles = 16
)

// UnixOptions adjust a [UnixListener]. The zero value is good.
type UnixOptions struct {
	// MaxPending is how many connections may be in the middle of their login;
	// 0 is 1024. Of one more, the oldest of the user with most is dropped.
	MaxPending int
	// Log takes warnings about connections that could not be accepted; nil
	// discards them.
	Log *slog.Logger
}

// A UnixListener accepts connections on a Unix socket that only its own user
// can log in to: the uid of the peer must be this process's effective one.
// Its methods may be called concurrently.
type UnixListener struct {
	acceptor
	*pathSocket
	gate     *gate
	accounts accounts
	uid      int    // who may log in
	name     string // the account of uid
	drain    time.Duration

	closeOnce sync.Once
}

// ListenUnix listens on a Unix socket at path, which is absolute. The socket
// is made under another name with mode 0600 and gets its own when it is ready.
//
// Its directory must not be writable for anybody but root and this process's
// user, nor may any directory above it ([*UnsafePathError]); sticky directories
// above it are allowed. Of two processes that want the same path, one gets an
// [*InUseError]. A dead socket at path is replaced, anything else is not.
func ListenUnix(path string, opts UnixOptions) (*UnixListener, error) {
	socket, err := bindPath(path, access{0o600, -1}, func(fd int) error { return passCredentials(fd, true) })
	if err != nil {
		return nil, err
	}
	return newUnixListener(socket, opts), nil
}

func newUnixListener(socket *pathSocket, opts UnixOptions) *UnixListener {
	l := &UnixListener{
		acceptor:   newAcceptor(opts.Log),
		pathSocket: socket,
		gate:       newGate(maxPending),
		accounts:   systemAccounts(),
		uid:        os.Geteuid(),
		name:       currentUser(),
		drain:      drainTime,
	}
	if opts.MaxPending > 0 {
		l.gate.max = opts.MaxPending
	}
	return l
}

func descriptorLimit() int {
	var lim unix.Rlimit
	const most = 1 << 30
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil || lim.Cur > most {
		return most
	}
	return int(lim.Cur)
}

// where is the address in logs.
func (l *UnixListener) where() string { return "unix:" + l.path }

// Addr is the socket's path.
func (l *UnixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Accept returns the next connection, a [*UnixConn], as soon as it is there:
// its Handshake is still to be done. It waits when descriptors run out, and
// returns an error only after Close, which is [net.ErrClosed], or when the
// socket is broken.
func (l *UnixListener) Accept() (net.Conn, error) {
	return l.accept(l.where(), func() (net.Conn, error) {
		c, err := l.ln.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if conn := l.admit(c); conn != nil {
			return conn, nil
		}
		return nil, nil
	})
}

// admit makes a connection of what was accepted, or closes it and returns nil.
func (l *UnixListener) admit(c *net.UnixConn) *UnixConn {
	peer, fd, err := examine(c)
	if err != nil {
		l.limited(l.where()).Warn("cannot tell who connected", "err", err)
		_ = c.Close()
		return nil
	}
	if l.full(fd) {
		l.limited(l.where()).Warn("descriptors run out, connection refused", "peer", peer.String())
		_ = sendVerdict(c, &proto.AuthResult{Code: proto.AuthBusy, Text: "the server has no descriptors left"}, time.Now().Add(acceptPause))
		_ = c.Close()
		l.pause()
		return nil
	}
	conn := &UnixConn{conn: c, peer: peer, listener: l}
	limit := l.gate.max
	if peer.UID != l.uid {
		limit = strangerPending
	}
	conn.ticket = l.gate.ticket(peer.source(), conn.crowdOut)
	conn.ticket.enter(limit)
	return conn
}

// examine returns who is at the other end, and the number of the descriptor.
func examine(c *net.UnixConn) (peer PeerAddr, fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer, 0, err
	}
	err = control(raw, func(n int) error {
		fd = n
		peer, err = peerCredentials(n)
		return err
	})
	return peer, fd, err
}

// control runs f on the descriptor of c.
func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// Close stops accepting, removes the socket and its lock if they are still the
// ones that were made here, and ends a running Accept. Connections that were
// accepted live on. It may be called more than once.
func (l *UnixListener) Close() error {
	var err error
	l.closeOnce.Do(func() {
		close(l.closed)
		err = l.close()
	})
	return err
}
