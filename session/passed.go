package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rexec/rex/proto"
)

// A commandConn is a connection that may be for one command with descriptors.
// ReadFiles returns those that came with the bytes, which belong to the caller;
// if there is no room for all of them, none, and beside the bytes an error that
// wraps [syscall.EMFILE].
type commandConn interface {
	io.ReadWriteCloser
	CloseWrite() error
	ForCommand() bool
	ReadFiles(p []byte) (n int, files []int, err error)
	SetReadDeadline(time.Time) error
}

// passedCommand is the server's side of a connection for one command that gets
// its client's own descriptors.
//
// Its goroutines: serve, which reads what the client sends and returns when both
// the command and the connection have ended; and those of the command.
type passedCommand struct {
	server *Server
	conn   commandConn
	peer   Peer
	log    *slog.Logger

	left chan struct{} // closed when the client is gone
	over chan struct{} // closed when all is done and said

	mu       sync.Mutex
	command  *command // nil before its exec came
	stopping bool     // the server wants to end
}

// serveCommand serves the one command of conn, and closes it.
func (s *Server) serveCommand(conn commandConn, peer Peer) error {
	p := &passedCommand{
		server: s, conn: conn, peer: peer,
		log:  s.log().With("user", peer.User, "peer", peer.Addr),
		left: make(chan struct{}), over: make(chan struct{}),
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(handshakeTimeout)) // before drain can shorten it
	if !s.addSession(p) {
		return ErrServerClosed
	}
	defer s.removeSession(p)
	return p.serve()
}

func (p *passedCommand) serve() error {
	defer close(p.over)
	bytes := &filesReader{conn: p.conn}
	defer func() { closeFiles(bytes.take()) }()
	frames := proto.NewReader(bytes, proto.MaxExecFrame)
	c, err := p.ask(frames, bytes)
	if err != nil || c == nil {
		return passedEnd(err)
	}
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		c.run()
		_ = p.conn.SetReadDeadline(time.Now().Add(byeTimeout)) // for the client to close first
	}()
	err = p.read(frames, c)
	p.cut()
	close(p.left)
	<-ran
	return passedEnd(err)
}

// passedEnd tells normal ends from others: a client may leave at any point.
func passedEnd(err error) error {
	for _, normal := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, normal) {
			return nil
		}
	}
	return err
}

// ask reads what the client asks for. It returns nil if that was refused.
func (p *passedCommand) ask(frames *proto.Reader, bytes *filesReader) (c *command, err error) {
	defer contain(p.log, &err)
	m, err := frames.Next()
	switch {
	case err != nil:
		return nil, err
	case m.Exec == nil:
		return nil, &proto.FrameError{Reason: "first message is not exec but " + m.Kind()}
	}
	c = newCommand(p.server, p, p.peer, p.log, m.Exec)
	c.status, c.passed = connStatus{p.conn}, true
	if refusal := p.accept(c, bytes); refusal != nil {
		c.refuse(refusal)
		return nil, nil
	}
	return c, nil
}

// accept makes a command of what came, or closes the descriptors and says why
// not.
func (p *passedCommand) accept(c *command, bytes *filesReader) *Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := bytes.take()
	handler, passes := p.server.Handler.(PassingHandler)
	code, message := c.exec.CheckPassed(len(files))
	var refusal *Refusal
	switch err := checkPassed(files); {
	case bytes.short:
		refusal = &Refusal{Code: proto.CodeStartFailed, Message: "the server has no descriptors left"}
	case code != "":
		refusal = &Refusal{Code: code, Message: message}
	case err != nil:
		refusal = &Refusal{Code: proto.CodeBadStream, Message: err.Error()}
	case p.stopping:
		refusal = &Refusal{Code: proto.CodeShuttingDown}
	case p.server.Handler == nil:
		refusal = &Refusal{Code: proto.CodeNoHandler}
	case !passes:
		refusal = &Refusal{Code: proto.CodeUnsupported, Message: "descriptors are not passed on here"}
	}
	if refusal != nil {
		closeFiles(files)
		return refusal
	}
	c.begin = func(ctx context.Context, req *Request) (Process, error) {
		return handler.StartPassed(ctx, req, arrange(c.exec, files))
	}
	p.command = c
	_ = p.conn.SetReadDeadline(time.Time{})
	return nil
}

// arrange puts the descriptors where the exec wants them.
func arrange(e *proto.Exec, files []int) []int {
	out := make([]int, 0, 3+len(e.Files))
	for _, place := range append([]uint32{e.Stdin, e.Stdout, e.Stderr}, e.Files...) {
		fd := -1
		if place != 0 {
			fd = files[place-1]
		}
		out = append(out, fd)
	}
	return out
}

// read takes the client's signals until it is gone.
func (p *passedCommand) read(frames *proto.Reader, c *command) (err error) {
	defer contain(p.log, &err)
	for {
		m, err := frames.Next()
		switch {
		case err != nil:
			return err
		case m.Resize != nil && m.Resize.ID == c.exec.ID: // there is no terminal
		case m.Signal == nil:
			return &proto.FrameError{Reason: "unexpected " + m.Kind()}
		case m.Signal.ID != c.exec.ID:
			return &proto.FrameError{Reason: "signal for an unknown command"}
		case !c.requests.put(m):
			return &proto.FrameError{Reason: "too many signals at once"}
		}
	}
}

// drain ends the command when ctx ends.
func (p *passedCommand) drain(ctx context.Context) {
	p.mu.Lock()
	p.stopping = true
	c := p.command
	p.mu.Unlock()
	if c == nil {
		_ = p.conn.SetReadDeadline(time.Now().Add(byeTimeout)) // a request may be on its way
		<-p.over
		return
	}
	select {
	case <-p.over:
	case <-ctx.Done():
		c.shutDown()
		<-p.over
	}
}

func (p *passedCommand) gone() <-chan struct{} { return p.left }
func (p *passedCommand) cut()                  { _ = p.conn.Close() }
func (p *passedCommand) remove(*command)       {}
func (p *passedCommand) say(*proto.Message)    {}

// connStatus is a connection that carries nothing but a command's status. A
// client abandons the command by leaving.
type connStatus struct{ conn commandConn }

func (s connStatus) Write(b []byte) (int, error) { return s.conn.Write(b) }
func (s connStatus) CloseWrite() error           { return s.conn.CloseWrite() }
func (s connStatus) Stopped() <-chan struct{}    { return nil }

// A filesReader reads bytes and keeps the descriptors that come with the first
// of them. With any other byte there may be none.
type filesReader struct {
	conn  commandConn
	begun bool
	files []int
	short bool // there was no room in this process for all that came
}

func (r *filesReader) Read(b []byte) (int, error) {
	if !r.begun {
		b = b[:1] // alone: a system may join it with later ones and what comes with those
	}
	n, files, err := r.conn.ReadFiles(b)
	switch first := n > 0 && !r.begun; {
	case first && errors.Is(err, syscall.EMFILE):
		r.begun, r.short = true, true
		return n, nil
	case first:
		r.begun, r.files = true, files
	case len(files) > 0:
		closeFiles(files)
		return 0, &proto.FrameError{Reason: "descriptors beside a byte that is not the first"}
	}
	return n, err
}

// take gives the descriptors away.
func (r *filesReader) take() []int {
	files := r.files
	r.files = nil
	return files
}
