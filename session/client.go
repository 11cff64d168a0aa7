package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

// Options adjust a [Client]. The zero value and nil are good.
type Options struct {
	// Software is what the client calls itself to the server; empty is "rex".
	Software string
	// Window is how many bytes of each output stream the server may send ahead
	// of what is read here, 256 KiB to 16 MiB; 0 is 256 KiB.
	Window int
	// Log takes debug messages; nil discards them.
	Log *slog.Logger
}

// A Client is one session with a server. It runs any number of commands at
// once. All methods may be called concurrently.
//
// A Client owns one goroutine, which reads the control stream and ends with
// the session.
type Client struct {
	mux     *mux.Session // nil if every command has a connection of its own
	passing passing
	control *mux.DuplexStream
	log     *slog.Logger

	running gate // commands that run or are about to
	pending gate // commands that the server has not answered yet

	writeMu sync.Mutex // guards writes to control, and ids, which go up in their order
	nextID  uint64

	mu       sync.Mutex
	hello    *proto.Hello
	draining bool
	closed   bool
	broken   error                          // how the server broke the protocol, if it did
	refused  map[uint64]chan *proto.Refused // by id: refusals that come on the control stream

	readerDone chan struct{}
}

// NewClient starts a session over conn, which is connected and authenticated,
// and belongs to the client from now on. Reads and writes of conn must return
// when it is closed, and Close must not block. It returns without waiting for
// the server.
func NewClient(conn io.ReadWriteCloser, opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ms, err := mux.Client(conn, &mux.Config{Window: opts.Window, Log: log})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &Client{mux: ms, log: log, refused: make(map[uint64]chan *proto.Refused), readerDone: make(chan struct{})}
	c.running.limit = proto.EarlyCommands
	c.pending.limit = proto.EarlyCommands
	if err := c.greet(opts); err != nil {
		_ = ms.Close()
		return nil, connLost(err)
	}
	go c.readControl()
	return c, nil
}

// greet opens the control stream and says hello.
func (c *Client) greet(opts *Options) error {
	control, err := c.mux.OpenControl(context.Background())
	if err != nil {
		return err
	}
	c.control = control
	software := opts.Software
	if software == "" {
		software = "rex"
	}
	return proto.Write(control, &proto.Message{Hello: &proto.Hello{
		Version: proto.Version, Software: software, Caps: []string{}, MaxFrame: proto.MaxFrame,
	}})
}

// Command returns a [Cmd] that runs the program name with the given arguments,
// exactly as they are. A name without a slash is looked up in the PATH of the
// command's environment, at the server, when it starts.
func (c *Client) Command(name string, arg ...string) *Cmd {
	return &Cmd{client: c, kind: kindArgv, Path: name, Args: append([]string{name}, arg...)}
}

// CommandContext is like [Client.Command] with a context. When it ends before
// the command does, [Cmd.Cancel] is called, which by default kills the
// command's whole tree.
func (c *Client) CommandContext(ctx context.Context, name string, arg ...string) *Cmd {
	return c.Command(name, arg...).withContext(ctx)
}

// Shell returns a [Cmd] that has the remote user's login shell run line. An
// empty line is the login shell itself.
func (c *Client) Shell(line string) *Cmd {
	return &Cmd{client: c, kind: kindLine, line: line, Path: line}
}

// ShellContext is like [Client.Shell] with a context, as [Client.CommandContext].
func (c *Client) ShellContext(ctx context.Context, line string) *Cmd {
	return c.Shell(line).withContext(ctx)
}

// Service returns a [Cmd] that runs the service of that name: a program that
// the server's administrator chose, with its arguments, environment and working
// directory. Cmd.Env and Cmd.Dir have no effect there or are refused. A name that
// the server does not know is refused with [proto.CodeNoSubsystem].
func (c *Client) Service(name string) *Cmd {
	return &Cmd{client: c, kind: kindService, Path: name}
}

// ServiceContext is like [Client.Service] with a context, as [Client.CommandContext].
func (c *Client) ServiceContext(ctx context.Context, name string) *Cmd {
	return c.Service(name).withContext(ctx)
}

// Close ends the session in an orderly way and closes the connection. Commands
// that still run are lost to this client; the server applies their orphan
// policy. Close returns when the client's goroutine ended.
func (c *Client) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	c.passing.close()
	if c.mux == nil {
		if first {
			close(c.readerDone)
		}
		return nil
	}
	if first {
		c.sayBye()
	}
	err := c.mux.Close()
	<-c.readerDone
	return err
}

// byeTimeout bounds how long a side that wants to leave waits until its bye is
// on the wire.
const byeTimeout = 2 * time.Second

// sayBye tells the server that what follows is no accident. It must not hang on
// a stalled connection: the caller wants to leave.
func (c *Client) sayBye() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.send(&proto.Message{Bye: &proto.Bye{}})
	}()
	select {
	case <-done:
	case <-c.mux.Done():
	case <-time.After(byeTimeout):
	}
}

// Done is closed when the session has ended.
func (c *Client) Done() <-chan struct{} {
	if c.mux == nil {
		return c.readerDone
	}
	return c.mux.Done()
}

// Err returns nil while the session lasts, then [ErrClosed] if it was closed
// here, and otherwise an error that wraps [ErrConnLost].
func (c *Client) Err() error {
	if isClosed(c.Done()) {
		return c.lost()
	}
	return nil
}

// lost is the error of a session that has ended.
func (c *Client) lost() error {
	c.mu.Lock()
	closed, broken := c.closed, c.broken
	c.mu.Unlock()
	switch {
	case closed:
		return connLost(ErrClosed)
	case broken != nil:
		return connLost(broken)
	}
	err := c.mux.Err()
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed it")
	}
	return connLost(err)
}

// sessionBond ties a command to its session.
type sessionBond struct{ *Client }

func (b sessionBond) leave() { b.running.leave() }

// send writes one message to the control stream.
func (c *Client) send(m *proto.Message) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return proto.Write(c.control, m)
}

// sendExec numbers and sends an exec. Ids leave in increasing order. The
// returned channel gets the server's refusal if it comes on the control stream.
func (c *Client) sendExec(e *proto.Exec) (<-chan *proto.Refused, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.nextID++
	e.ID = c.nextID
	refused := make(chan *proto.Refused, 1)
	c.mu.Lock()
	c.refused[e.ID] = refused
	c.mu.Unlock()
	if err := proto.Write(c.control, &proto.Message{Exec: e}); err != nil {
		c.forget(e.ID)
		if _, ok := errors.AsType[*proto.FrameError](err); ok {
			return nil, err // before anything was written
		}
		return nil, &ExitMissingError{Cause: connLost(err)} // it may have arrived all the same
	}
	return refused, nil
}

// forget drops the refusal channel of a command.
func (c *Client) forget(id uint64) {
	c.mu.Lock()
	delete(c.refused, id)
	c.mu.Unlock()
}

// readControl is the client's goroutine.
func (c *Client) readControl() {
	defer close(c.readerDone)
	frames := proto.NewReader(c.control, proto.MaxFrame)
	for {
		m, err := frames.Next()
		if err == nil {
			err = c.handle(m)
		}
		if err != nil {
			c.log.Debug("session ended", "err", err)
			c.breaks(err)
			_ = c.mux.Close()
			return
		}
	}
}

// breaks notes that the server broke the protocol, if err says so.
func (c *Client) breaks(err error) {
	if frame, ok := errors.AsType[*proto.FrameError](err); ok {
		c.mu.Lock()
		c.broken = frame
		c.mu.Unlock()
	}
}

// handle takes one message of the control stream.
func (c *Client) handle(m *proto.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.hello == nil && m.Hello != nil && m.Hello.Version != proto.Version:
		return &proto.FrameError{Reason: "unknown protocol version"}
	case c.hello == nil && m.Hello != nil:
		c.hello = m.Hello
		c.running.setLimit(int(min(max(m.Hello.MaxCommands, 1), proto.MaxCommands)))
		c.pending.setLimit(proto.MaxPending)
	case c.hello == nil:
		return &proto.FrameError{Reason: "first message is not hello but " + m.Kind()}
	case m.Refused != nil:
		if ch, ok := c.refused[m.Refused.ID]; ok {
			select {
			case ch <- m.Refused:
			default:
			}
		}
	case m.Draining != nil:
		c.draining = true
	case m.Bye != nil:
		// The server has nothing more to say; its end of the connection follows.
		c.log.Debug("server said bye")
	default:
		return &proto.FrameError{Reason: "unexpected " + m.Kind()}
	}
	return nil
}

// isDraining reports whether the server takes no more commands.
func (c *Client) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}
