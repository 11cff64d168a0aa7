//go:build linux || darwin || freebsd

package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// A Service runs a program for each connection. Name and Start are set before
// the first call of a method, and nothing is changed after it. The methods may
// be called concurrently.
type Service struct {
	// Name is what logs call it.
	Name string
	// Start starts the program for a client, with pipes for stdin, stdout and
	// stderr. The context ends when the service is stopped. It may block for as
	// long as a start is allowed to take, and is called from one goroutine per
	// connection. The Service ends and releases what it returns.
	Start func(ctx context.Context, c Client) (session.Process, error)
	// Limits bound each instance and all of them.
	Limits Limits
	// Linger bounds how long the rest of a client's input is read and discarded.
	Linger Linger
	// Drain is how long stdout may be silent once the program has ended while a
	// child still holds it; then the instance is cut. 0 is 5 s.
	Drain time.Duration
	// Log gets a line for each connection that has ended, and what the program
	// says on stderr; nil discards.
	Log *slog.Logger

	once    sync.Once
	log     *slog.Logger
	gate    *gate
	refused bucket // lines about refused connections
	said    bucket // lines of stderr
	running sync.WaitGroup
	alive   context.Context // ends when instances are to be cut
	end     context.CancelCauseFunc
	patient context.Context // ends when their trees are to be killed at once
	kill    context.CancelFunc

	mu        sync.Mutex
	stopping  bool
	listeners map[net.Listener]struct{}
	stats     Stats
}

// A Client is who has connected.
type Client struct {
	// Source is what Limits.PerSource counts: an IPv4 address, the /64 of an IPv6
	// address, or the user at the other end of a Unix socket.
	Source string
	// Remote and Local are the ends of the connection. Remote of a Unix socket
	// names user and process.
	Remote, Local net.Addr
}

// Stats counts since the start.
type Stats struct {
	Started uint64 // instances, those that could not be started too
	Refused uint64 // connections over a limit
	Running int    // places that are taken now
}

// errStopped ends what still ran when the service was stopped.
var errStopped = &cutError{how: howStopped}

// init prepares the zero value.
func (s *Service) init() {
	s.once.Do(func() {
		s.log = slog.New(slog.DiscardHandler)
		if s.Log != nil {
			s.log = s.Log.With("service", s.Name)
		}
		s.gate = newGate(s.Limits.withDefaults())
		s.refused = bucket{burst: 1, every: time.Minute}
		s.said = bucket{burst: stderrBurst, every: stderrEvery}
		s.alive, s.end = context.WithCancelCause(context.Background())
		s.patient, s.kill = context.WithCancel(context.Background())
		s.listeners = make(map[net.Listener]struct{})
	})
}

// Serve accepts connections from l and runs an instance for each. The
// connections have a method CloseWrite() error, as those of TCP and Unix sockets
// do. Serve closes l.
//
// It returns nil when l was closed, by Shutdown or Close or by others, or when
// Accept returns io.EOF; otherwise Accept's error. It does not wait for
// instances.
func (s *Service) Serve(l net.Listener) error {
	s.init()
	defer l.Close()
	if !s.add(l) {
		return nil
	}
	defer s.remove(l)
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed) || err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		s.admit(conn)
	}
}

// admit runs an instance for the connection, or resets it.
func (s *Service) admit(conn net.Conn) {
	c, ok := conn.(halfConn)
	remote, source, err := transport.Peer(conn)
	if !ok || err != nil {
		s.log.Debug("connection refused", "err", err, "half_close", ok)
		reset(conn)
		return
	}
	leave, err := s.Enter(source)
	if err != nil {
		s.logRefusal(remote, err)
		reset(conn)
		return
	}
	if !s.begin() {
		leave()
		reset(conn)
		return
	}
	go func() {
		defer s.running.Done()
		defer leave()
		s.run(c, Client{Source: source, Remote: remote, Local: conn.LocalAddr()})
	}()
}

// logRefusal logs some of the connections that came in vain.
func (s *Service) logRefusal(remote net.Addr, err error) {
	if errors.Is(err, net.ErrClosed) {
		return // the service is stopping
	}
	if suppressed, ok := s.refused.take(time.Now()); ok {
		s.log.Warn("connection refused", "client", remote.String(), "err", err, "suppressed", suppressed)
	}
}

// Enter takes one of the places that Limits allows, for an instance that is run
// elsewhere, as over a session, and counts with those of connections. leave
// gives it back; it may be called more than once. The error is a [*LimitError],
// or [net.ErrClosed] when the service is stopping.
func (s *Service) Enter(source string) (leave func(), err error) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, net.ErrClosed
	}
	if leave, err = s.gate.enter(source); err != nil {
		s.stats.Refused++
		return nil, err
	}
	s.stats.Started++
	return leave, nil
}

// Stats tells how often the service was used.
func (s *Service) Stats() Stats {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Running = s.gate.inside()
	return stats
}

// Shutdown closes the listeners and waits until every instance has ended. When
// ctx ends first, what still runs is cut: its connection is reset, and its tree
// gets HUP and TERM, and KILL after a while. Shutdown then waits for that and
// returns the context's error.
func (s *Service) Shutdown(ctx context.Context) error {
	s.stop()
	cut := context.AfterFunc(ctx, func() { s.end(errStopped) })
	s.running.Wait()
	if cut() {
		return nil
	}
	return ctx.Err()
}

// Close closes the listeners and cuts every instance at once: KILL to its tree.
// It does not wait for them to end.
func (s *Service) Close() error {
	s.stop()
	s.end(errStopped)
	s.kill()
	return nil
}

// stop closes the listeners.
func (s *Service) stop() {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for l := range s.listeners {
		_ = l.Close()
	}
}

func (s *Service) add(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.listeners[l] = struct{}{}
	}
	return !s.stopping
}

func (s *Service) remove(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// begin counts a connection in running, unless the service is stopping.
func (s *Service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.running.Add(1)
	}
	return !s.stopping
}
