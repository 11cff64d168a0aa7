package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

// command is the server's side of one command, from its exec to its record.
//
// Its goroutines: run, which decides everything; one that writes status, since
// a stalled client must not keep run from its timers, and one that serves
// signals, since those can hang too; a pump for each stream;
// one in Process.Wait; and while the tree is being ended, one in Process.End.
// All have ended when run returns.
type command struct {
	server   *Server
	from     asker
	peer     Peer
	begin    func(context.Context, *Request) (Process, error) // of the handler
	exec     *proto.Exec
	log      *slog.Logger
	status   statusWriter
	stdin    *mux.ReceiveStream
	stdout   *mux.SendStream
	stderr   *mux.SendStream // nil where it goes with stdout
	requests *requests
	passed   bool // it has the client's own descriptors

	stopOnce sync.Once
	stop     chan struct{} // closed when the server shuts down
}

// An asker is who asked for a command: a session, or a connection that is for
// this command alone. Its methods may be called concurrently.
type asker interface {
	gone() <-chan struct{} // closed when the client is
	cut()                  // ends the connection at once
	remove(*command)       // the command has ended, and its record is about to leave
	say(*proto.Message)    // of a command without a usable status stream
}

// A statusWriter takes the frames of a command's status. Stopped is closed when
// the client abandons the command; nil if it says that in another way.
type statusWriter interface {
	io.Writer
	CloseWrite() error
	Stopped() <-chan struct{}
}

func newCommand(s *Server, from asker, peer Peer, log *slog.Logger, e *proto.Exec) *command {
	return &command{
		server: s, from: from, peer: peer, exec: e,
		log:      log.With("id", e.ID),
		requests: newRequests(),
		stop:     make(chan struct{}),
	}
}

// shutDown asks the command to end because the server does.
func (c *command) shutDown() { c.stopOnce.Do(func() { close(c.stop) }) }

// run starts the command and sees it to its end.
func (c *command) run() {
	defer c.from.remove(c)
	req := c.request()
	proc, err := c.start(req)
	if err != nil {
		c.from.remove(c)
		c.refuse(asRefusal(err))
		return
	}
	c.log = c.log.With("pid", proc.Pid())
	s := newSupervision(c, proc) // before the log: the client waits
	c.log.Info("command started", "argv", clipAll(req), "pty", req.Term != nil, "dir", req.Dir)
	s.run()
}

// start calls the handler. If the session ends first, a command that would be
// killed for it is not started any more.
func (c *command) start(req *Request) (proc Process, err error) {
	defer contain(c.log, &err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watching := make(chan struct{})
	defer close(watching)
	go func() {
		gone := c.from.gone()
		if req.Orphan == OrphanKeep {
			gone = nil
		}
		select {
		case <-gone:
			cancel()
		case <-c.stop:
			cancel()
		case <-watching:
		}
	}()
	return c.begin(ctx, req)
}

func (c *command) request() *Request {
	e := c.exec
	req := &Request{
		Peer: c.peer,
		Argv: stringsOf(e.Argv), Path: string(e.Path), Line: string(e.Line), IsLine: e.Line != nil,
		Subsystem: string(e.Subsystem),
		Env:       stringsOf(e.Env), Dir: string(e.Dir), Term: e.Term,
		Stdin: e.Stdin != 0, Stdout: e.Stdout != 0, Stderr: e.Stderr != 0,
		MergeStderr: e.Stderr != 0 && e.Stderr == e.Stdout,
		Orphan:      e.Orphan,
	}
	if req.Orphan == "" {
		req.Orphan = OrphanKill
	}
	return req
}

func stringsOf(list [][]byte) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}

// asRefusal turns a handler's error into what is sent.
func asRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code.Known() {
		return r
	}
	if code, ok := errors.AsType[proto.Code](err); ok && code.Known() {
		return &Refusal{Code: code, Message: err.Error()}
	}
	return &Refusal{Code: proto.CodeStartFailed, Message: err.Error()}
}

// refused is the message of a refusal.
func (c *command) refused(r *Refusal) *proto.Refused {
	return &proto.Refused{ID: c.exec.ID, Code: r.Code, Message: r.Message}
}

// refuse tells the client, on the control stream if there is no status stream,
// and closes the command's streams.
func (c *command) refuse(r *Refusal) {
	req := c.request()
	c.log.Info("command refused", "argv", clipAll(req), "code", string(r.Code), "err", clip(r.Message))
	m := &proto.Message{Refused: c.refused(r)}
	if c.status == nil {
		c.from.say(m)
	} else {
		_ = proto.Write(c.status, m)
	}
	c.closeStreams()
}

// closeStreams ends what is left open of the command's streams.
func (c *command) closeStreams() {
	if c.stdin != nil {
		_ = c.stdin.CancelRead()
	}
	for _, s := range []*mux.SendStream{c.stdout, c.stderr} {
		if s != nil {
			_ = s.CloseWrite()
		}
	}
	if c.status != nil {
		_ = c.status.CloseWrite()
	}
}

// clipAll is a request's command for the log: all of it up to a bound.
func clipAll(req *Request) []string {
	words := req.Argv
	switch {
	case req.IsLine:
		words = []string{req.Line}
	case req.Subsystem != "":
		words = []string{"subsystem:" + req.Subsystem}
	case len(words) == 0:
		words = []string{"login shell"}
	}
	const most = 64
	out := make([]string, 0, min(len(words), most+1))
	for i, w := range words {
		if i == most {
			out = append(out, "…")
			break
		}
		out = append(out, clip(w))
	}
	return out
}
