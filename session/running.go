package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

var errAbandoned = errors.New("session: the command was abandoned")

// running is the client's side of one command between Start and the end of
// Wait.
//
// Its goroutines, all begun in open but watch, and where they end:
//
//	readStatus  at the end of the status stream, after which over is closed
//	copyIn      at the end of Stdin, when the server stops the stream, or (for
//	            an *os.File) when the process ended
//	copyOut x 2 at the end of their stream
//	watch       when everything above has ended; without a record it does not
//	            wait for a Stdin that blocks
type running struct {
	cmd  *Cmd
	bond bond
	ctx  context.Context

	id      uint64
	pid     int
	dropped []string

	file           *os.File // Stdin, if it is a file; our own
	status         statusReader
	stdin          *mux.SendStream
	stdout, stderr *receiver // stderr is nil where it goes with stdout
	refused        <-chan *proto.Refused

	answer chan answer   // the first frame of status, once
	begun  chan struct{} // the server answered, or never will
	exited chan struct{} // the process ended, or that will never be known
	over   chan struct{} // the record came, or never will
	gotOut chan struct{} // the copies of output ended
	gaveIn chan struct{} // the copy of input ended
	done   chan struct{} // everything ended and the place was given back

	waiting chan struct{} // Wait was called

	// Set before exited and over are closed.
	exitedMsg *proto.Exited
	record    *proto.Ended
	statusErr error

	mu sync.Mutex
	// The first error of each kind, and who gave up.
	copyErr   error
	readErr   error // Stdin could not be read
	cancelErr error // of the context
	delayed   bool  // WaitDelay ran out
	gaveUp    error // why the status stream was stopped here
}

type answer struct {
	started *proto.Started
	refused *proto.Refused
	err     error
}

// A bond is what ties a command to its server: a session, or a connection of its
// own. Its methods may be called concurrently.
type bond interface {
	send(*proto.Message) error
	Err() error       // why it has ended, nil while it lasts
	forget(id uint64) // the command has its answer
	leave()           // the command has ended
}

// A statusReader reads the frames of a command's status. CancelRead abandons
// the command.
type statusReader interface {
	io.Reader
	CancelRead() error
}

func newRunning(c *Cmd, ctx context.Context, bond bond) *running {
	return &running{
		cmd: c, bond: bond, ctx: ctx,
		answer: make(chan answer, 1), begun: make(chan struct{}),
		exited: make(chan struct{}), over: make(chan struct{}),
		gotOut: make(chan struct{}), gaveIn: make(chan struct{}), done: make(chan struct{}),
		waiting: make(chan struct{}),
	}
}

// open opens the streams, sends the exec and starts the copies, all in one
// flight: nothing is waited for.
func (r *running) open(ctx context.Context, e *proto.Exec) (err error) {
	c := r.cmd
	m := c.client.mux
	if f, ok := c.Stdin.(*os.File); ok {
		if r.file, err = ownFile(f); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				disownFile(r.file)
			}
		}()
	}
	status, err := m.OpenReceive(ctx)
	if err != nil {
		return err
	}
	r.status = status
	if c.Stdin != nil || c.stdinPipe != nil {
		if r.stdin, err = m.OpenSend(ctx); err != nil {
			return err
		}
	}
	if c.Stdout != nil || c.stdoutPipe != nil {
		if r.stdout, err = openReceiver(ctx, m); err != nil {
			return err
		}
	}
	merged := c.Stdout != nil && sameWriter(c.Stdout, c.Stderr)
	if (c.Stderr != nil || c.stderrPipe != nil) && !merged && c.Term == nil {
		if r.stderr, err = openReceiver(ctx, m); err != nil {
			return err
		}
	}
	e.Status, e.Stdin, e.Stdout, e.Stderr = status.ID(), sendID(r.stdin), r.stdout.id(), r.stderr.id()
	if merged && c.Term == nil {
		e.Stderr = e.Stdout
	}
	if r.refused, err = c.client.sendExec(e); err != nil {
		return err
	}
	r.id = e.ID
	r.startCopies()
	go r.readStatus()
	return nil
}

func sendID(s *mux.SendStream) uint32 {
	if s == nil {
		return 0
	}
	return s.ID()
}

// sameWriter reports whether two writers are the same, if they can be compared.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }() // uncomparable types are not the same
	return a == b
}

// startCopies starts the copies between the command's streams and the caller's.
func (r *running) startCopies() {
	c := r.cmd
	var out sync.WaitGroup
	r.attachOut(&out, r.stdout, c.Stdout, c.stdoutPipe)
	r.attachOut(&out, r.stderr, c.Stderr, c.stderrPipe)
	go func() {
		out.Wait()
		close(r.gotOut)
	}()
	switch {
	case r.stdin == nil:
		close(r.gaveIn)
	case c.stdinPipe != nil:
		c.stdinPipe.attach(r.stdin)
		close(r.gaveIn)
	default:
		go func() {
			defer close(r.gaveIn)
			r.copyIn()
		}()
	}
}

func (r *running) attachOut(copies *sync.WaitGroup, s *receiver, w io.Writer, pipe *outputPipe) {
	switch {
	case s == nil && pipe != nil:
		pipe.attachNothing()
	case s == nil:
	case pipe != nil:
		pipe.attach(s)
	default:
		copies.Go(func() { r.copyOut(w, s) })
	}
}

// readStatus reads the status stream to its end.
func (r *running) readStatus() {
	frames := proto.NewReader(r.status, proto.MaxFrame)
	defer close(r.over)
	defer r.closeExited()
	m, err := frames.Next()
	close(r.begun)
	switch {
	case err != nil:
		r.statusErr = err
		r.answer <- answer{err: err}
		return
	case m.Refused != nil && m.Refused.ID == r.id:
		r.answer <- answer{refused: m.Refused}
		return
	case m.Started == nil:
		r.statusErr = &proto.FrameError{Reason: "status begins with " + m.Kind()}
		r.answer <- answer{err: r.statusErr}
		return
	}
	r.pid, r.dropped = int(m.Started.PID), m.Started.DroppedEnv
	r.answer <- answer{started: m.Started}
	for r.record == nil && r.statusErr == nil {
		m, err := frames.Next()
		r.takeStatus(m, err)
	}
}

// takeStatus takes one frame after started.
func (r *running) takeStatus(m *proto.Message, err error) {
	switch {
	case err != nil:
		r.statusErr = err
	case m.Exited != nil && r.exitedMsg == nil:
		r.exitedMsg = m.Exited
		r.closeExited()
	case m.Ended != nil:
		r.record = m.Ended
	default:
		r.statusErr = &proto.FrameError{Reason: "unexpected " + m.Kind() + " on status"}
	}
}

// closeExited is only called by readStatus.
func (r *running) closeExited() {
	if !isClosed(r.exited) {
		close(r.exited)
	}
}

// awaitStarted waits for the answer to the exec. On an error the command's
// place has been given back.
func (r *running) awaitStarted(ctx context.Context) error {
	var got answer
	select {
	case got = <-r.answer:
	case refused := <-r.refused:
		got.refused = refused
	case <-ctx.Done():
		r.condemn()
		r.discard()
		return ctx.Err()
	}
	if got.started != nil {
		r.bond.forget(r.id)
		return nil
	}
	r.discard()
	select { // output may have come before the connection was lost: Stdout is the caller's again
	case <-r.gotOut:
	case <-ctx.Done():
	}
	if got.refused != nil {
		return &Error{Name: r.cmd.Path, Code: got.refused.Code, Message: got.refused.Message}
	}
	return &ExitMissingError{Cause: r.cause(got.err)}
}

// condemn ends a command whose Start was given up although it is to be kept:
// nobody would know of it. It does not wait for a stalled connection.
func (r *running) condemn() {
	if r.cmd.Orphan == OrphanKeep {
		kill := &proto.Message{Signal: &proto.Signal{ID: r.id, Name: "KILL", To: ToTree}}
		go func() { _ = r.bond.send(kill) }()
	}
}

// discard gives up a command that was not started, or of which nobody will
// know: streams are closed, what copies ends.
func (r *running) discard() {
	if r.id == 0 && r.stdin != nil {
		_ = r.stdin.CloseWrite() // never announced: this is no command's end of input
	}
	r.closeStreams()
	r.bond.forget(r.id)
	r.bond.leave()
}

// closeCopied ends the streams when the copies have ended. Those behind pipes
// belong to the caller until Wait.
func (r *running) closeCopied() {
	if r.stdin != nil && r.cmd.stdinPipe == nil {
		r.stdin.CancelWrite()
	}
	if r.cmd.stdoutPipe == nil {
		r.stdout.stop()
	}
	if r.cmd.stderrPipe == nil {
		r.stderr.stop()
	}
	_ = r.status.CancelRead()
}

// endSilent ends the outputs that the server should have ended before the
// record, once nothing comes any more. They count as truncated.
func (r *running) endSilent() {
	for _, s := range []*receiver{r.stdout, r.stderr} {
		if s != nil && s.silent() {
			s.giveUp()
		}
	}
}

// closeStreams ends all streams of the command. stdin is ended without an end
// of data.
func (r *running) closeStreams() {
	if r.status != nil { // first: a kept command shall not see a broken pipe
		_ = r.status.CancelRead()
	}
	if r.stdin != nil {
		r.stdin.CancelWrite()
	}
	r.stdout.stop()
	r.stderr.stop()
}

// watch calls Cancel when the context ends, enforces WaitDelay and at last
// gives the command's place back.
func (r *running) watch() {
	defer close(r.done)
	defer r.bond.leave()
	var begin <-chan struct{} = r.waiting
	select {
	case <-r.ctx.Done():
		r.cancel()
		begin = closedChan
	case <-r.exited:
	}
	if !r.await(r.cmd.WaitDelay, begin) {
		r.giveUpStreams()
		if !r.await(proto.CloseGrace, closedChan) {
			_ = r.abandon(ErrWaitDelay)
			<-r.over
		}
	}
	r.closeCopied()
}

// await waits until the record came and the copies ended, at most d from begin
// on if d is positive, and reports whether they did. Without a record nobody
// needs what Stdin still says, and a reader that blocks must not keep Wait.
func (r *running) await(d time.Duration, begin <-chan struct{}) bool {
	limit := limit{d: d, begin: begin}
	defer limit.stop()
	if !limit.await(r.over, nil) || !limit.await(r.gotOut, r.endSilent) {
		return false
	}
	return r.record == nil || limit.await(r.gaveIn, nil)
}

// cancel runs Cmd.Cancel without waiting for a stalled connection for ever. A
// Cancel that was set back to nil lets the command go on.
func (r *running) cancel() {
	if r.cmd.Cancel == nil {
		return
	}
	result := make(chan error, 1)
	go func() { result <- r.cmd.Cancel() }()
	var err error
	select {
	case err = <-result:
	case <-r.over:
	case <-time.After(proto.CloseGrace):
		err = errors.New("the connection is stalled")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.cancelErr = r.ctx.Err()
	case errors.Is(err, os.ErrProcessDone):
	default:
		r.cancelErr = fmt.Errorf("session: canceling Cmd: %w", err)
	}
}

// giveUpStreams is what happens when WaitDelay ran out: the tree is killed if
// it still runs, and the streams are stopped.
func (r *running) giveUpStreams() {
	r.mu.Lock()
	r.delayed = true
	r.mu.Unlock()
	if !r.isOver() {
		go func() { _ = r.signal("KILL", ToTree) }()
	}
	if r.stdin != nil {
		r.stdin.CancelWrite()
	}
	r.stdout.stop()
	r.stderr.stop()
}

// abandon stops the status stream: the server applies the orphan policy.
func (r *running) abandon(why error) error {
	r.mu.Lock()
	if r.gaveUp == nil {
		r.gaveUp = why
	}
	r.mu.Unlock()
	err := r.status.CancelRead()
	r.closeStreams()
	return err
}

// signal asks the server for a signal.
func (r *running) signal(name string, to Target) error {
	if r.isOver() {
		return os.ErrProcessDone
	}
	return r.bond.send(&proto.Message{Signal: &proto.Signal{ID: r.id, Name: name, To: to}})
}

// isOver reports whether the command's process is known to have ended.
func (r *running) isOver() bool {
	return isClosed(r.exited)
}

// wait is [Cmd.Wait].
func (r *running) wait() error {
	close(r.waiting)
	<-r.exited
	r.cmd.closePipes()
	<-r.done
	return r.verdict()
}
