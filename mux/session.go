package mux

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/yamux"
)

// Session is one end of a connection that carries streams. Its methods may be called at the same time.
//
// A session runs yamux's two goroutines, on a server one more that accepts streams, and for moments one that answers
// a FIN. All end with the session, whether or not Close is called.
type Session struct {
	cfg    Config
	server bool
	guard  *guard
	ys     *yamux.Session
	shrink shrinker

	turn    chan struct{} // client: held while a stream is opened, so that SYNs leave in the order of their ids
	slots   chan struct{} // client: one element for every stream that has not finished
	opened  bool          // client, with turn: the control stream has been opened
	control chan *flow    // server: the first stream

	mu      sync.Mutex
	closing bool
	running sync.WaitGroup // what background started
}

// Client makes the end that opens streams. Nil cfg is the zero Config.
//
// The connection belongs to the session from now on. Its Write must take all of its argument or fail, and keep no
// reference to it; its Close must return at once and make pending Reads and Writes return. A fault that it can repair
// it must hide: any error ends the session. A CloseWrite() error method, as *net.TCPConn has one, makes Shutdown
// lossless. A WriteBuffers(*net.Buffers) (int64, error) method is used to write header and body of a frame together;
// *net.TCPConn and *net.UnixConn need none, and for others the two are copied into one Write.
func Client(conn io.ReadWriteCloser, cfg *Config) (*Session, error) {
	return newSession(conn, cfg, false)
}

// Server makes the end that takes the streams which the other end opened. Nil cfg is the zero Config. What Client
// says about the connection holds here too.
func Server(conn io.ReadWriteCloser, cfg *Config) (*Session, error) {
	return newSession(conn, cfg, true)
}

func newSession(conn io.ReadWriteCloser, cfg *Config, server bool) (*Session, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Session{
		cfg:     full,
		server:  server,
		guard:   newGuard(conn, server, &full),
		turn:    make(chan struct{}, 1),
		slots:   make(chan struct{}, full.MaxStreams),
		control: make(chan *flow, 1),
	}
	s.shrink.s = s
	if server {
		s.guard.onDrop = s.answerDropped
		s.ys, err = yamux.Server(s.guard, full.yamuxConfig())
	} else {
		s.guard.onFinished = s.releaseSlot
		s.ys, err = yamux.Client(s.guard, full.yamuxConfig())
	}
	if err != nil {
		return nil, err
	}
	if server {
		s.background(s.acceptLoop)
	}
	return s, nil
}

// background runs f on a goroutine that Close waits for; once Close was called it does not, and returns false.
func (s *Session) background(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Go(f)
	return true
}

// Shutdown ends the session in an orderly way: it ends this end's half of the connection, waits until the peer has
// ended its own or ctx is done, and then closes. What this end wrote before arrives; what it tries to write from now
// on does not. Streams can still be read meanwhile. The error is ctx's when it cut the waiting short.
//
// If the connection has no CloseWrite the peer is not told and has to know from a message that it should end.
func (s *Session) Shutdown(ctx context.Context) error {
	defer s.Close()
	if err := s.guard.closeWrite(ctx); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-s.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cuts the connection and waits until the session's goroutines have ended. What was written may be lost; what
// was received can still be read. The error is the connection's; closing again does nothing.
func (s *Session) Close() error {
	err := s.guard.fail(ErrClosed)
	_ = s.ys.Close()
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.running.Wait()
	s.shrink.stop()
	return err
}

// Done is closed when the session has ended, for whatever reason.
func (s *Session) Done() <-chan struct{} { return s.ys.CloseChan() }

// Err returns nil until Done is closed, and then why the session ended: ErrClosed when this end ended it, io.EOF when
// the peer ended the connection between two frames, a *ViolationError when the peer broke the protocol, and
// otherwise an error that wraps the connection's.
func (s *Session) Err() error {
	select {
	case <-s.Done():
		_ = s.guard.Close() // yamux says so a moment before it closes the guard
		return s.guard.ended()
	default:
		return nil
	}
}

// NumStreams counts the streams, the control stream too, that have not been ended in both directions.
func (s *Session) NumStreams() int { return s.guard.numStreams() }

// lost is the error for a call that found the session ended, or its sending half.
func (s *Session) lost() error { return lost(s.guard.reason()) }

// faulted ends the session if err says that yamux has lost track of what it sent, and reports whether it did.
func (s *Session) faulted(err error) bool {
	if !errors.Is(err, yamux.ErrConnectionWriteTimeout) {
		return false
	}
	s.guard.fail(errWriteTimedOut)
	return true
}
