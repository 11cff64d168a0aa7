//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// An Authorizer decides who may log in. Its methods may be called concurrently.
type Authorizer interface {
	// Authorize decides whether whoever proves to hold the key may log in. That
	// proof is asked for afterwards, and only of a key that was granted
	// something. The error is for the log: the peer learns that it was denied,
	// and nothing else.
	Authorize(ctx context.Context, a *Attempt) (*Grant, error)
}

// An Attempt is a login that is asked for.
type Attempt struct {
	User          string // passes [proto.CheckUser]
	Key           *auth.Key
	Remote, Local netip.AddrPort
}

// A Grant is what a key may do once its holder has proved to be it. It travels
// with the login and nowhere else.
type Grant struct {
	// Login is handed on to whoever runs commands, see [ServerConn.Login].
	Login any
	// VerificationRequired demands that the hardware which holds the key has
	// verified who uses it.
	VerificationRequired bool
}

// TCPListenOptions adjust a [TCPListener].
type TCPListenOptions struct {
	// HostKeys are the keys of this host, at most one of each type; at least
	// one is required.
	HostKeys []*auth.HostKey
	// Authorizer decides who may log in. It is required.
	Authorizer Authorizer
	// MaxPending is how many connections may be in the middle of their login;
	// 0 is 1024. Of one more, the oldest of the network with most is dropped.
	MaxPending int
	// Listen listens; nil is TCP.
	Listen func(ctx context.Context, network, addr string) (net.Listener, error)
	// Log takes warnings about connections that could not be accepted; nil
	// discards them.
	Log *slog.Logger
}

// networkPending is how many connections of one network (IPv4 /32, IPv6 /64)
// may be in the middle of their login.
const networkPending = 32

// A TCPListener accepts connections over TCP, which are encrypted and whose
// peers log in with keys. Its methods may be called concurrently.
type TCPListener struct {
	acceptor
	ln         net.Listener
	identities map[string]*identity // by ALPN name
	foreign    *tls.Config          // for clients that no identity suits
	authorizer Authorizer
	gate       *gate
	grace      time.Duration // for a login
	drain      time.Duration
	seed       maphash.Seed // of the time that a refusal takes

	closeOnce sync.Once
}

// An identity is one host key as TLS and the login need it.
type identity struct {
	key    *auth.Key
	config *tls.Config
}

// ListenTCP listens on addr, which is host:port; port 0 takes a free one.
func ListenTCP(ctx context.Context, addr string, opts *TCPListenOptions) (*TCPListener, error) {
	l, err := newTCPListener(opts)
	if err != nil {
		return nil, err
	}
	listen := opts.Listen
	if listen == nil {
		listen = (&net.ListenConfig{KeepAliveConfig: keepAlive()}).Listen
	}
	if l.ln, err = listen(ctx, "tcp", addr); err != nil {
		return nil, err
	}
	return l, nil
}

func newTCPListener(opts *TCPListenOptions) (*TCPListener, error) {
	if opts.Authorizer == nil {
		return nil, errors.New("transport: nobody decides who may log in")
	}
	l := &TCPListener{
		acceptor:   newAcceptor(opts.Log),
		identities: make(map[string]*identity),
		foreign:    serverConfig(alpnPrefix + "none"),
		authorizer: opts.Authorizer,
		gate:       newGate(maxPending),
		grace:      handshakeTime,
		drain:      drainTime,
		seed:       maphash.MakeSeed(),
	}
	if opts.MaxPending > 0 {
		l.gate.max = opts.MaxPending
	}
	for _, key := range opts.HostKeys {
		if err := l.add(key); err != nil {
			return nil, err
		}
	}
	if len(l.identities) == 0 {
		return nil, errors.New("transport: a server over TCP needs a host key")
	}
	return l, nil
}

// add makes an identity of a host key.
func (l *TCPListener) add(key *auth.HostKey) error {
	alpn := alpnPrefix + key.Key().Type()
	if l.identities[alpn] != nil {
		return fmt.Errorf("two host keys of type %s", key.Key().Type())
	}
	leaf, err := newLeaf(key)
	if err != nil {
		return err
	}
	l.identities[alpn] = &identity{key: key.Key(), config: serverConfig(alpn, leaf)}
	return nil
}

// choose is tls.Config.GetConfigForClient: the first of the client's types that
// this host has a key of.
func (l *TCPListener) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	for _, alpn := range hello.SupportedProtos {
		if id := l.identities[alpn]; id != nil {
			return id.config, nil
		}
	}
	if len(hello.SupportedProtos) == 0 {
		return nil, errors.New("the peer does not say that it speaks rex")
	}
	return l.foreign, nil // the client is told that there is no common protocol
}

// Addr is the address that the listener has.
func (l *TCPListener) Addr() net.Addr { return l.ln.Addr() }

// Accept returns the next connection, a [*ServerConn], as soon as it is there:
// its Handshake is still to be done. It waits when descriptors run out, and
// returns an error only after Close, which is [net.ErrClosed], or when the
// socket is broken.
func (l *TCPListener) Accept() (net.Conn, error) {
	return l.accept(l.Addr().String(), func() (net.Conn, error) {
		c, err := l.ln.Accept()
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
func (l *TCPListener) admit(c net.Conn) *ServerConn {
	tune(c)
	remote := addrPort(c.RemoteAddr())
	if l.full(descriptor(c)) {
		l.limited(l.Addr().String()).Warn("descriptors run out, connection refused", "peer", remote.String())
		_ = c.Close()
		l.pause()
		return nil
	}
	conn := &ServerConn{
		raw: c, tls: tls.Server(c, &tls.Config{GetConfigForClient: l.choose, MinVersion: tls.VersionTLS13}),
		remote: remote, local: addrPort(c.LocalAddr()), listener: l,
	}
	conn.ticket = l.gate.ticket(network(remote.Addr()), conn.crowdOut)
	conn.ticket.enter(networkPending)
	return conn
}

// addrPort is an address of TCP, or one like it, without the ways in which IPv4
// hides in IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// network is what counts as one source of connections.
func network(addr netip.Addr) string {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}

// Close stops accepting and ends a running Accept. Connections that were
// accepted live on. It may be called more than once.
func (l *TCPListener) Close() error {
	var err error
	l.closeOnce.Do(func() {
		close(l.closed)
		err = l.ln.Close()
	})
	return err
}
