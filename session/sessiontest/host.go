package sessiontest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxPort   = 65535
	firstDial = 49152 // the first port of a host that dials, as RFC 6335 has them
	dialPorts = maxPort - firstDial + 1
	backlog   = 4096 // connections that nobody accepted yet
)

// A Host is a name in a [Network]. Its methods may be called at any time, from
// many goroutines.
type Host struct {
	network *Network
	name    string

	// Guarded by the network's mutex.
	listeners map[int]*listener
	listened  int          // the highest port that Listen has chosen
	dialed    int          // how many ports Dial has tried
	dialing   map[int]bool // the ports of connections that were dialed and are not closed
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Listen listens on a port of the host, 1 to 65535; 0 is the host's next one,
// beginning with 1, so that tests know it beforehand: one more than the last that
// was given out so, or the next that nobody listens on. ctx bounds the
// wait for other processes of the network, and means nothing to the listener. The error is a [*net.OpError], which wraps
// [syscall.EADDRINUSE] if the port is taken, or 65535 was given out and there is
// no next one, and [ErrHostTaken] if the host is another process's.
func (h *Host) Listen(ctx context.Context, port int) (net.Listener, error) {
	addr := Addr{h.name, port}
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: addr.Network(), Addr: addr, Err: err}
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	if port < 0 || port > maxPort {
		return fail(fmt.Errorf("port %d is not one of 0 to %d", port, maxPort))
	}
	if err := h.network.member.claim(ctx, h.name); err != nil {
		return fail(err)
	}
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.network.isOver() {
		return fail(net.ErrClosed)
	}
	if port == 0 {
		port = h.freePort()
	}
	if port == 0 || h.listeners[port] != nil {
		return fail(syscall.EADDRINUSE)
	}
	l := &listener{host: h, addr: Addr{h.name, port}, queue: make(chan *conn, backlog), closed: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

// freePort is the next port that nobody listens on, 0 if there is none. The
// caller has the lock.
func (h *Host) freePort() int {
	for h.listened < maxPort {
		h.listened++
		if h.listeners[h.listened] == nil {
			return h.listened
		}
	}
	return 0
}

// Dial connects to an address of the form host:port. Where nobody listens the
// error wraps [syscall.ECONNREFUSED], and where there is no such host it wraps a
// [*net.DNSError]. Through a link that is cut it waits until ctx ends. Between
// processes it may wrap [ErrNetworkMismatch] or [ErrProtocol] too. It comes from
// the host's next port of 49152 to 65535, and then from the first again, that no
// connection has until both its ends are closed, or the one in this process if
// there are several. If none is left the error wraps [syscall.EADDRNOTAVAIL].
// The connection has a method CloseWrite() error, like TCP's.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	to, err := h.network.resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: to.Network(), Err: err}
	}
	c, err := h.connect(ctx, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: to.Network(), Addr: to, Err: err}
	}
	return c, nil
}

// resolve finds a host that somebody has mentioned.
func (n *Network) resolve(address string) (Addr, error) {
	host, number, ok := strings.Cut(address, ":")
	port, err := strconv.Atoi(number)
	if !ok || err != nil || port < 1 || port > maxPort {
		return Addr{}, &net.AddrError{Err: "not of the form host:port", Addr: address}
	}
	n.mu.Lock()
	mentioned := n.hosts[host] != nil
	n.mu.Unlock()
	if !mentioned && !n.member.knows(host) {
		return Addr{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return Addr{host, port}, nil
}

// connect takes a round trip, and then as long as the link is cut.
func (h *Host) connect(ctx context.Context, to Addr) (*conn, error) {
	link := h.network.link(h.name, to.Host)
	if err := link.cross(ctx, h.network.ended); err != nil {
		return nil, err
	}
	from, err := h.nextDial()
	if err != nil {
		return nil, err
	}
	free := func() { h.free(from.Port) }
	if h.network.member != nil {
		c, err := h.network.member.dial(ctx, link, from, to, free)
		if err != nil {
			free()
		}
		return c, err
	}
	l := h.network.listener(to)
	if l == nil {
		free()
		return nil, syscall.ECONNREFUSED
	}
	near, far := link.join(from, to, free)
	if !l.offer(far) {
		_, _ = near.Close(), far.Close()
		return nil, syscall.ECONNREFUSED
	}
	return near, nil
}

// nextDial takes the address of the host's next connection, until free.
func (h *Host) nextDial() (Addr, error) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if len(h.dialing) == dialPorts {
		return Addr{}, syscall.EADDRNOTAVAIL
	}
	for {
		port := firstDial + h.dialed%dialPorts
		h.dialed++
		if !h.dialing[port] {
			h.dialing[port] = true
			return Addr{h.name, port}, nil
		}
	}
}

// free gives a port back that nextDial has taken.
func (h *Host) free(port int) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	delete(h.dialing, port)
}

// listener is who listens there in this process, nil if nobody does.
func (n *Network) listener(at Addr) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[at.Host]; h != nil {
		return h.listeners[at.Port]
	}
	return nil
}

// cross waits for a round trip and until the link is not cut.
func (l *link) cross(ctx context.Context, over <-chan struct{}) error {
	state, _ := l.state()
	arrival := time.NewTimer(2 * state.Delay)
	defer arrival.Stop()
	for arrived := false; ; {
		select {
		case <-over:
			return net.ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		state, changed := l.state()
		if arrived && !state.Cut {
			return nil
		}
		select {
		case <-over:
		case <-ctx.Done():
		case <-arrival.C:
			arrived = true
		case <-changed:
		}
	}
}

// A listener is a port that takes connections.
type listener struct {
	host   *Host
	addr   Addr
	queue  chan *conn
	once   sync.Once
	closed chan struct{}

	mu sync.Mutex // held to put something into the queue, and to end that
}

// offer queues a connection, unless nobody will accept it.
func (l *listener) offer(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.queue <- c:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	default:
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.closed:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
}

// Close implements net.Listener. Connections that nobody accepted are reset.
func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed})
	l.once.Do(func() {
		err = nil
		l.host.network.mu.Lock()
		delete(l.host.listeners, l.addr.Port)
		l.host.network.mu.Unlock()
		l.mu.Lock()
		close(l.closed)
		l.mu.Unlock()
		for {
			select {
			case c := <-l.queue:
				c.reset()
				_ = c.Close()
			default:
				return
			}
		}
	})
	return err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }
