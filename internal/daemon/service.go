//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"

	"github.com/rexec/rex/session"
)

// A service hands connections to a session server, and to another one when the
// settings changed; sessions stay with the one that they began with.
type service struct {
	handler session.Handler
	log     *slog.Logger

	mu      sync.Mutex
	current *generation
	all     []*generation
	serving sync.WaitGroup
}

// A services is several of them.
type services []*service

func (all services) shutdown(ctx context.Context) error {
	all.each(func(s *service) { _ = s.shutdown(ctx) })
	return ctx.Err()
}

func (all services) close() { all.each((*service).close) }

func (all services) each(f func(*service)) {
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { f(s) })
	}
	wg.Wait()
}

// A generation is a session server and the way to it.
type generation struct {
	server *session.Server
	inlet  *inlet
}

func newService(handler session.Handler, log *slog.Logger, maxCommands int) *service {
	s := &service{handler: handler, log: log}
	s.renew(maxCommands)
	return s
}

// renew lets sessions that begin from now on run so many commands at once.
func (s *service) renew(maxCommands int) {
	g := &generation{
		server: &session.Server{Handler: s.handler, MaxCommands: maxCommands, Software: software(), Log: s.log},
		inlet:  newInlet(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		_ = s.current.inlet.Close()
	}
	s.current = g
	s.all = append(s.all, g)
	// Ends when the inlet is closed, which it is at the latest by shutdown.
	s.serving.Go(func() { _ = g.server.Serve(g.inlet) })
}

func software() string { return "rexd " + version() }

func (s *service) generation() *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// take serves conn, or closes it if the service is shut down.
func (s *service) take(conn net.Conn) {
	for {
		g := s.generation()
		if g.inlet.put(conn) {
			return
		}
		if s.generation() == g {
			_ = conn.Close()
			return
		}
	}
}

// shutdown ends all sessions as [session.Server.Shutdown] does.
func (s *service) shutdown(ctx context.Context) error {
	s.each(func(server *session.Server) { _ = server.Shutdown(ctx) })
	s.serving.Wait()
	return ctx.Err()
}

// close cuts all sessions.
func (s *service) close() {
	s.each(func(server *session.Server) { _ = server.Close() })
}

// each calls f for all servers at once.
func (s *service) each(f func(*session.Server)) {
	s.mu.Lock()
	all := s.all
	s.mu.Unlock()
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
