package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

// serverSession is the server's side of one session.
//
// Its goroutines: serve, which reads the control stream and only decodes and
// queues; writeControl, which ends when the queue is closed; and those of each
// command.
type serverSession struct {
	server  *Server
	mux     *mux.Session
	control *mux.DuplexStream
	peer    Peer
	log     *slog.Logger

	mu       sync.Mutex
	commands map[uint64]*command
	lastID   uint64 // ids go up; one that is not above this was used before
	greeted  bool   // the client's hello came
	bye      bool   // the client said bye: what follows is no accident
	draining bool
	idle     event // draining, and no command is left
	quiet    event // draining, and all that there was to say of commands is said
	busy     int   // commands with something to do or to say
	speaks   bool  // writeControl has been started

	alive   sync.WaitGroup // commands, also refused ones
	out     outbox
	written chan struct{} // closed when writeControl has ended
}

func newServerSession(s *Server, conn io.ReadWriteCloser, peer Peer) (*serverSession, error) {
	log := s.log()
	ms, err := mux.Server(conn, &mux.Config{Window: s.window(conn), Log: log})
	if err != nil {
		return nil, err
	}
	ss := &serverSession{
		server: s, mux: ms, peer: peer,
		log:      log.With("user", peer.User, "peer", peer.Addr),
		commands: make(map[uint64]*command),
		idle:     make(event), quiet: make(event),
		out:     outbox{queue: make(chan *proto.Message, maxControlQueue)},
		written: make(chan struct{}),
	}
	ss.say(&proto.Message{Hello: &proto.Hello{ // now, so that it comes first
		Version: proto.Version, Software: s.software(), Caps: []string{},
		MaxCommands: uint64(s.maxCommands()), MaxFrame: proto.MaxExecFrame,
	}})
	return ss, nil
}

// event is a channel that is closed once. Its owner has a lock.
type event chan struct{}

func (e event) happens() {
	if !isClosed(e) {
		close(e)
	}
}

// serve runs the session to its end, and then its commands to theirs.
func (ss *serverSession) serve() error {
	ss.log.Debug("session started")
	err := ss.read()
	_ = ss.mux.Close()
	ss.alive.Wait()
	ss.log.Debug("session ended", "err", err)
	return err
}

// read reads the control stream until the session's end. It returns nil if
// that was normal.
func (ss *serverSession) read() error {
	control, err := ss.mux.AcceptControl(context.Background())
	if err != nil {
		return ss.endError(err)
	}
	ss.control = control
	ss.mu.Lock()
	ss.speaks = true
	ss.mu.Unlock()
	go ss.writeControl()
	defer func() { <-ss.written }()
	defer ss.out.close()
	frames := proto.NewReader(control, proto.MaxExecFrame)
	for {
		if err := ss.next(frames); err != nil {
			// Commands learn of the end from the mux; it must be cut before the
			// writer is waited for, which may hang on a stalled connection.
			return ss.endError(errors.Join(err, ss.mux.Close()))
		}
	}
}

// next takes the next message.
func (ss *serverSession) next(frames *proto.Reader) (err error) {
	defer contain(ss.log, &err)
	m, err := frames.Next()
	if err != nil {
		return err
	}
	return ss.handle(m)
}

// endError tells normal ends from others.
func (ss *serverSession) endError(err error) error {
	ss.mu.Lock()
	bye, draining := ss.bye, ss.draining
	ss.mu.Unlock()
	violation, isViolation := errors.AsType[*mux.ViolationError](ss.mux.Err())
	frame, isFrame := errors.AsType[*proto.FrameError](err)
	_, isLost := errors.AsType[*mux.LostError](err)
	switch {
	case errors.Is(err, errInternal):
		return errInternal
	case isViolation:
		return violation
	case isFrame:
		return frame
	case errors.Is(err, io.ErrUnexpectedEOF) && !isLost:
		return &proto.FrameError{Reason: "the control stream ended inside a frame"}
	case bye, draining, errors.Is(err, io.EOF), errors.Is(ss.mux.Err(), io.EOF), errors.Is(ss.mux.Err(), mux.ErrClosed):
		return nil
	case errors.Is(ss.mux.Err(), syscall.ECONNRESET), errors.Is(ss.mux.Err(), syscall.EPIPE):
		return nil // how a client's process dies that has not read everything
	}
	return connLost(ss.mux.Err())
}

// errBye ends the control loop when the client said bye.
var errBye = errors.New("session: bye")

// handle takes one message of the control stream. It must not block: another
// command's signal may be next.
func (ss *serverSession) handle(m *proto.Message) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case !ss.greeted && m.Hello != nil && m.Hello.Version != proto.Version:
		return &proto.FrameError{Reason: "unknown protocol version"}
	case !ss.greeted && m.Hello != nil:
		ss.greeted = true
	case !ss.greeted:
		return &proto.FrameError{Reason: "first message is not hello but " + m.Kind()}
	case m.Exec != nil:
		return ss.execLocked(m.Exec)
	case m.Signal != nil:
		return ss.routeLocked(m.Signal.ID, m)
	case m.Resize != nil:
		return ss.routeLocked(m.Resize.ID, m)
	case m.Bye != nil:
		ss.bye = true
		return errBye
	default:
		return &proto.FrameError{Reason: "unexpected " + m.Kind()}
	}
	return nil
}

// routeLocked queues a signal or resize for its command. One for a command
// that has ended is ignored: it crossed the end on its way.
func (ss *serverSession) routeLocked(id uint64, m *proto.Message) error {
	if id > ss.lastID {
		return &proto.FrameError{Reason: m.Kind() + " for an unknown command"}
	}
	c, ok := ss.commands[id]
	if !ok {
		return nil
	}
	if !c.requests.put(m) {
		return &proto.FrameError{Reason: "too many signals at once"}
	}
	return nil
}

// execLocked claims the streams of a command and starts it, or refuses it.
func (ss *serverSession) execLocked(e *proto.Exec) error {
	c := newCommand(ss.server, ss, ss.peer, ss.log, e)
	refusal := ss.claimLocked(c)
	switch code, message := e.Check(); {
	case refusal != nil:
	case code != "":
		refusal = &Refusal{Code: code, Message: message}
	case ss.draining:
		refusal = &Refusal{Code: proto.CodeShuttingDown}
	case len(ss.commands) >= ss.server.maxCommands():
		refusal = &Refusal{Code: proto.CodeBusy}
	case ss.server.Handler == nil:
		refusal = &Refusal{Code: proto.CodeNoHandler}
	default:
		c.begin = ss.server.Handler.Start
	}
	ss.alive.Add(1)
	ss.busy++
	if refusal != nil {
		go func() {
			defer ss.done()
			c.refuse(refusal)
		}()
		return nil
	}
	ss.commands[e.ID] = c
	go func() {
		defer ss.done()
		c.run()
	}()
	return nil
}

// done is called when all is done and said of a command.
func (ss *serverSession) done() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.busy--
	ss.checkIdleLocked()
	ss.alive.Done()
}

// claimLocked takes the streams that the exec names. After a refusal the ones
// that could be taken are in c, to be closed.
func (ss *serverSession) claimLocked(c *command) *Refusal {
	e := c.exec
	var bad bool
	var err error
	if c.status, err = ss.mux.TakeSend(e.Status); err != nil {
		c.status, bad = nil, true
	}
	if e.Stdin != 0 {
		if c.stdin, err = ss.mux.TakeReceive(e.Stdin); err != nil {
			c.stdin, bad = nil, true
		}
	}
	if e.Stdout != 0 {
		if c.stdout, err = ss.mux.TakeSend(e.Stdout); err != nil {
			c.stdout, bad = nil, true
		}
	}
	if e.Stderr != 0 && e.Stderr != e.Stdout {
		if c.stderr, err = ss.mux.TakeSend(e.Stderr); err != nil {
			c.stderr, bad = nil, true
		}
	}
	used := e.ID <= ss.lastID
	ss.lastID = max(ss.lastID, e.ID)
	switch {
	case bad:
		return &Refusal{Code: proto.CodeBadStream}
	case used:
		return &Refusal{Code: proto.CodeDuplicateID}
	}
	return nil
}

// remove forgets a command that has ended, before its record leaves: a client
// that reads the record may start the next one at once.
func (ss *serverSession) remove(c *command) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.commands[c.exec.ID] == c {
		delete(ss.commands, c.exec.ID)
	}
	ss.checkIdleLocked()
}

func (ss *serverSession) checkIdleLocked() {
	if ss.draining && len(ss.commands) == 0 {
		ss.idle.happens()
	}
	if ss.draining && ss.busy == 0 {
		ss.quiet.happens()
	}
}

// say queues a message for the control stream. A client that does not read
// until the queue overflows is cut off.
func (ss *serverSession) say(m *proto.Message) {
	if !ss.out.put(m) {
		go ss.cut() // not here: the caller may hold the lock
	}
}

// writeControl writes the queue to the control stream until it is closed.
func (ss *serverSession) writeControl() {
	defer close(ss.written)
	for m := range ss.out.queue {
		_ = proto.Write(ss.control, m) // an error is the session's end, which the reader sees
	}
}

// maxControlQueue bounds what waits to be said on the control stream.
const maxControlQueue = 64

// outbox is a bounded queue of messages that can be closed beside put.
type outbox struct {
	mu     sync.Mutex
	closed bool
	queue  chan *proto.Message
}

// put queues m and reports whether there was room. On a closed outbox it does
// nothing.
func (o *outbox) put(m *proto.Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	select {
	case o.queue <- m:
		return true
	default:
		return false
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		close(o.queue)
	}
}

// drain ends the session in an orderly way: no new commands, wait for the
// running ones and for what there is to say of them, bye. When ctx ends first
// they are ended, and a client that does not listen is not waited for.
func (ss *serverSession) drain(ctx context.Context) {
	ss.mu.Lock()
	ss.draining = true
	ss.checkIdleLocked()
	ss.mu.Unlock()
	ss.say(&proto.Message{Draining: &proto.Draining{}})
	select {
	case <-ss.quiet:
	case <-ss.mux.Done():
		ss.leaveKept()
		return
	case <-ctx.Done():
		ss.endCommands()
		<-ss.idle
	}
	ss.finish()
}

// finish says the rest and bye, and waits a moment for the client to close first.
func (ss *serverSession) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
	defer cancel()
	ss.mu.Lock()
	speaks := ss.speaks
	ss.mu.Unlock()
	if speaks {
		ss.awaitSaid(ctx, ss.quiet)
		ss.say(&proto.Message{Bye: &proto.Bye{}})
		ss.out.close()
		ss.awaitSaid(ctx, ss.written)
	}
	_ = ss.mux.Shutdown(ctx)
}

// awaitSaid waits until what was to be said is said, or nobody can hear it.
func (ss *serverSession) awaitSaid(ctx context.Context, said <-chan struct{}) {
	select {
	case <-said:
	case <-ss.mux.Done():
	case <-ctx.Done():
	}
}

// endCommands asks every command to end because the server does.
func (ss *serverSession) endCommands() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, c := range ss.commands {
		c.shutDown()
	}
}

// leaveKept lets go of the commands that outlived the session.
func (ss *serverSession) leaveKept() { ss.endCommands() }

// gone is closed when the session has ended.
func (ss *serverSession) gone() <-chan struct{} { return ss.mux.Done() }

// cut ends the session at once. Its commands get their orphan policy.
func (ss *serverSession) cut() { _ = ss.mux.Close() }

func (s *Server) maxCommands() int {
	if s.MaxCommands <= 0 || s.MaxCommands > proto.MaxCommands {
		return proto.MaxCommands
	}
	return s.MaxCommands
}

func (s *Server) software() string {
	if s.Software == "" {
		return "rexd"
	}
	return s.Software
}

// unixNano is a time as the record carries it.
func unixNano(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }
