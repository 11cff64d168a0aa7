//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"io"
	"net"
	"sync"
)

// A server serves connections until it is shut down: a [session.Server], or a
// [service.Service].
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// A relay hands connections to a server, and to another one when the settings
// changed; connections stay with the one that they began with.
type relay struct {
	mu      sync.Mutex
	current *generation
	all     []*generation
	serving sync.WaitGroup
}

// A generation is a server and the way to it.
type generation struct {
	server server
	inlet  *inlet
}

// relays are all that a daemon has.
type relays []*relay

func (all relays) shutdown(ctx context.Context) error {
	all.each(func(r *relay) { _ = r.shutdown(ctx) })
	return ctx.Err()
}

func (all relays) close() { all.each((*relay).close) }

func (all relays) each(f func(*relay)) {
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() { f(r) })
	}
	wg.Wait()
}

func newRelay(s server) *relay {
	r := &relay{}
	r.renew(s)
	return r
}

// renew lets another server have the connections from now on.
func (r *relay) renew(s server) {
	g := &generation{server: s, inlet: newInlet()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		_ = r.current.inlet.Close()
	}
	r.current = g
	r.all = append(r.all, g)
	// Ends when the inlet is closed, which it is at the latest by shutdown.
	r.serving.Go(func() { _ = g.server.Serve(g.inlet) })
}

// retire closes the connections that still come, and lets the others be.
func (r *relay) retire() { _ = r.generation().inlet.Close() }

func (r *relay) generation() *generation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// take serves conn, or closes it if the relay is shut down. A client of a
// service, whose connection is plain, sees a reset and no end of an answer.
func (r *relay) take(conn net.Conn) {
	for {
		g := r.generation()
		if g.inlet.put(conn) {
			return
		}
		if r.generation() == g {
			if plain, ok := conn.(*net.TCPConn); ok {
				_ = plain.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
	}
}

// shutdown ends all servers as [session.Server.Shutdown] does.
func (r *relay) shutdown(ctx context.Context) error {
	r.each(func(s server) { _ = s.Shutdown(ctx) })
	r.serving.Wait()
	return ctx.Err()
}

// close cuts all connections.
func (r *relay) close() {
	r.each(func(s server) { _ = s.Close() })
}

// each calls f for all servers at once.
func (r *relay) each(f func(server)) {
	r.mu.Lock()
	all := r.all
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, g := range all {
		wg.Go(func() { f(g.server) })
	}
	wg.Wait()
}

// An inlet is a listener whose connections come from elsewhere.
type inlet struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func newInlet() *inlet {
	return &inlet{conns: make(chan net.Conn), ended: make(chan struct{})}
}

// put hands conn over; false if the inlet is closed.
func (i *inlet) put(conn net.Conn) bool {
	select {
	case i.conns <- conn:
		return true
	case <-i.ended:
		return false
	}
}

// Accept returns io.EOF when there will be no more.
func (i *inlet) Accept() (net.Conn, error) {
	select {
	case conn := <-i.conns:
		return conn, nil
	case <-i.ended:
		return nil, io.EOF
	}
}

func (i *inlet) Close() error {
	i.once.Do(func() { close(i.ended) })
	return nil
}

func (i *inlet) Addr() net.Addr { return inletAddr{} }

type inletAddr struct{}

func (inletAddr) Network() string { return "inlet" }
func (inletAddr) String() string  { return "inlet" }
