//go:build unix

package sessiontest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// ending is how long a server may take to end its commands at the end of a test.
const ending = 10 * time.Second

// A Server is a session.Server that runs in the test's process, on a network of
// its own.
type Server struct {
	// Config is the server itself, as httptest has it. It runs already: its fields
	// are for reading.
	Config *session.Server

	t        testing.TB
	network  *Network
	listener net.Listener
	once     sync.Once
	client   *session.Client
}

// NewServer starts a server that runs commands as this process's user, without
// the login environment's shell files. What a command leaves running in its
// process group is killed when its client goes; descendants that left the group
// are not, since nothing but the test's process holds them. At the end of the
// test the server ends, with what still runs.
func NewServer(t testing.TB) *Server {
	t.Helper()
	handler, err := execd.New(execd.Options{Mode: "group", Shell: "/bin/sh"})
	if err != nil {
		t.Fatal("sessiontest: ", err)
	}
	t.Cleanup(func() { _ = handler.Close() })
	return NewServerWith(t, &session.Server{Handler: handler})
}

// NewServerWith is NewServer with a server of the test's own.
func NewServerWith(t testing.TB, config *session.Server) *Server {
	t.Helper()
	s := &Server{Config: config, t: t, network: NewNetwork(t)}
	var err error
	if s.listener, err = s.network.Host("server").Listen(t.Context(), 0); err != nil {
		t.Fatal("sessiontest: ", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = config.Serve(s.listener) // ends with Close, and says so
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ending)
		defer cancel()
		s.network.end() // over a link that is cut nobody could say goodbye
		if s.client != nil {
			_ = s.client.Close()
		}
		if err := config.Shutdown(ctx); err != nil {
			t.Errorf("sessiontest: the server does not end: %v", err)
			_ = config.Close()
		}
		<-served
	})
	return s
}

// Client returns a client of the server, the same each time. It is closed at the
// end of the test.
func (s *Server) Client() *session.Client {
	s.t.Helper()
	s.once.Do(func() { s.client = s.Dial(nil) })
	if s.client == nil {
		s.t.Fatal("sessiontest: there is no client")
	}
	return s.client
}

// Dial returns another client of the server, which the caller closes.
func (s *Server) Dial(opts *session.Options) *session.Client {
	s.t.Helper()
	conn, err := s.DialConn(s.t.Context())
	if err != nil {
		s.t.Fatal("sessiontest: ", err)
	}
	c, err := session.NewClient(conn, opts)
	if err != nil {
		s.t.Fatal("sessiontest: ", err)
	}
	return c
}

// DialConn returns a new connection to the server, on which nothing was said yet.
func (s *Server) DialConn(ctx context.Context) (net.Conn, error) {
	return s.network.Host("client").Dial(ctx, s.listener.Addr().String())
}

// Network returns the network between the hosts "client" and "server", whose
// faults are there to be used.
func (s *Server) Network() *Network { return s.network }
