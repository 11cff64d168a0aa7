package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// handshakeTimeout bounds the authentication of an accepted connection.
const handshakeTimeout = 30 * time.Second

// A Server runs commands for clients. Its zero value is usable and refuses
// every command with no_handler. Fields are set before the first use; methods
// may be called concurrently.
type Server struct {
	// Handler starts the commands.
	Handler Handler
	// MaxCommands is how many commands one session may run at once, at most
	// 240, which 0 means. One more is refused with busy.
	MaxCommands int
	// Software is what the server calls itself; empty is "rexd".
	Software string
	// Window is how many bytes of each stdin a client may send ahead of what
	// the command takes, 256 KiB to 16 MiB; 0 is what the connection's method
	// Window() int says, if it has one, and otherwise 256 KiB.
	Window int
	// Log takes a line for each command's start, refusal and end at level
	// Info, and sessions at Debug. Nil discards.
	Log *slog.Logger

	mu        sync.Mutex
	listeners map[*net.Listener]struct{} // by pointer: a listener need not be comparable
	sessions  map[served]struct{}
	stopping  bool
	stopped   ending         // of logins: at Shutdown or Close
	closed    ending         // of ladders: at Close
	handlers  sync.WaitGroup // goroutines of Serve's connections
}

// served is a connection that is being served.
type served interface {
	// drain ends it in an orderly way, and its commands when ctx ends first.
	drain(ctx context.Context)
	// cut ends it at once; its commands get their orphan policy.
	cut()
}

// ending is a context that ends on command. Its zero value is usable.
type ending struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (e *ending) context() context.Context {
	if e.ctx == nil {
		e.ctx, e.cancel = context.WithCancel(context.Background())
	}
	return e.ctx
}

func (e *ending) end() {
	e.context()
	e.cancel()
}

// handshaker is a connection that authenticates itself before it is used.
type handshaker interface {
	Handshake(context.Context) error
}

// Serve accepts connections from l and serves each as a session, in a
// goroutine of its own that ends with the session and its commands. If a
// connection has a method Handshake(context.Context) error it is called first;
// if it has User() string, that is the Peer's user, and if it has Login() any,
// that is the Peer's login. The log gets the text of its error, or what the
// error's method LogAttrs() []slog.Attr returns if it has one, as text of at most
// 2 KiB each. A Handshake that panics has failed; the log gets the stack.
//
// A connection whose ForCommand() bool says so afterwards is no session but for
// one command, to which the client passes its own descriptors (PROTOCOL.md
// section 9.6); see [PassingHandler].
//
// Serve returns ErrServerClosed after Shutdown or Close, nil when Accept
// returns io.EOF (a listener that has nothing more to give), and otherwise the
// listener's error.
func (s *Server) Serve(l net.Listener) error {
	if !s.addListener(&l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.isStopping() {
				return ErrServerClosed
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !s.enter() {
			_ = conn.Close()
			return ErrServerClosed
		}
		go func() {
			defer s.handlers.Done()
			s.serveAccepted(conn)
		}()
	}
}

// enter counts a goroutine of Serve, unless the server is stopping.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.handlers.Add(1)
	return true
}

func (s *Server) serveAccepted(conn net.Conn) {
	peer := Peer{Addr: conn.RemoteAddr().String()}
	log := s.log()
	if h, ok := conn.(handshaker); ok {
		if err := s.login(conn, h); err != nil {
			logRefusal(log, peer.Addr, err)
			_ = conn.Close()
			return
		}
	}
	if u, ok := conn.(interface{ User() string }); ok {
		peer.User = u.User()
	}
	if l, ok := conn.(interface{ Login() any }); ok {
		peer.Login = l.Login()
	}
	serve := func() error { return s.ServeConn(context.Background(), conn, peer) }
	if c, ok := conn.(commandConn); ok && c.ForCommand() {
		serve = func() error { return s.serveCommand(c, peer) }
	}
	if err := serve(); err != nil {
		log.Info("session ended", "user", peer.User, "peer", peer.Addr, "err", clip(err.Error()))
	}
}

// maxRefusal bounds each attribute of a refused login in the log, in bytes.
const maxRefusal = 2048

// logRefusal says who did not log in and why, in the words of the connection's
// own if it has them.
func logRefusal(log *slog.Logger, peer string, err error) {
	attrs := []slog.Attr{slog.String("peer", peer)}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		log.LogAttrs(context.Background(), slog.LevelInfo, "the client left before it logged in", attrs...)
		return
	}
	if e, ok := errors.AsType[interface {
		error
		LogAttrs() []slog.Attr
	}](err); ok {
		for _, a := range e.LogAttrs() {
			attrs = append(attrs, slog.String(a.Key, clipTo(maxRefusal, a.Value.String())))
		}
	} else {
		attrs = append(attrs, slog.String("err", clip(err.Error())))
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "login refused", attrs...)
}

// login lets the connection authenticate itself. A server that stops does not
// wait for that.
func (s *Server) login(conn net.Conn, h handshaker) (err error) {
	defer contain(s.log(), &err)
	s.mu.Lock()
	ctx := s.stopped.context()
	s.mu.Unlock()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return h.Handshake(ctx)
}

// ServeConn serves one session over conn, which is authenticated and belongs to
// the server from now on. It returns when the session has ended and none of its
// commands is left to care for; one with the policy keep keeps it until that
// command has ended. If ctx ends, the session is cut.
//
// The end of the session, with or without a bye, is normal: ServeConn returns
// nil. It returns an error if the client broke the protocol or the connection
// failed, or if serving its messages panicked, which ends this session alone;
// and ErrServerClosed if the server is closed.
func (s *Server) ServeConn(ctx context.Context, conn io.ReadWriteCloser, peer Peer) error {
	ss, err := newServerSession(s, conn, peer)
	if err != nil {
		_ = conn.Close()
		return err
	}
	if !s.addSession(ss) {
		_ = ss.mux.Close()
		return ErrServerClosed
	}
	defer s.removeSession(ss)
	stop := context.AfterFunc(ctx, ss.cut)
	defer stop()
	return ss.serve()
}

// Shutdown stops accepting, tells every client that the server drains, waits
// until no command runs and ends the sessions. When ctx ends first, what still
// runs is ended: HUP and TERM, KILL after a while; Shutdown then waits for that
// and returns the context's error. Kept commands whose session is gone are left
// to themselves.
func (s *Server) Shutdown(ctx context.Context) error {
	sessions := s.stop(false)
	var wg sync.WaitGroup
	for _, ss := range sessions {
		wg.Go(func() { ss.drain(ctx) })
	}
	wg.Wait()
	s.handlers.Wait()
	return ctx.Err()
}

// Close cuts every session and listener at once, and kills the commands whose
// policy is kill. It does not wait for sessions to end.
func (s *Server) Close() error {
	for _, ss := range s.stop(true) {
		ss.cut()
	}
	return nil
}

// stop closes the listeners and returns the sessions.
func (s *Server) stop(closed bool) []served {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	s.stopped.end()
	if closed {
		s.closed.end()
	}
	for l := range s.listeners {
		_ = (*l).Close()
	}
	var out []served
	for ss := range s.sessions {
		out = append(out, ss)
	}
	return out
}

// window is what a client may send ahead on conn.
func (s *Server) window(conn io.ReadWriteCloser) int {
	if c, ok := conn.(interface{ Window() int }); ok && s.Window == 0 {
		return c.Window()
	}
	return s.Window
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// ladders is the context of all that ends trees: it ends when the server is
// closed.
func (s *Server) ladders() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed.context()
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[*net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) addSession(ss served) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.sessions == nil {
		s.sessions = make(map[served]struct{})
	}
	s.sessions[ss] = struct{}{}
	return true
}

func (s *Server) removeSession(ss served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// clip cuts a text that a peer may have had a hand in.
func clip(text string) string { return clipTo(256, text) }

func clipTo(most int, text string) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
