package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rexec/rex/proto"
)

type cmdKind int

const (
	kindArgv cmdKind = iota
	kindLine
	kindService
)

// Cmd is a command to be run at the server, with the names and the contract of
// [os/exec.Cmd]. It can be used once.
//
// Fields are set before Start and not changed afterwards. Signal, SignalTo,
// Resize and Abandon may be called concurrently with everything, after Start
// returned; Wait may be called once, from any goroutine.
type Cmd struct {
	// Path is the program. Args are its arguments, Args[0] being the name it
	// sees for itself; nil means Path alone. Both are for Command only; of a
	// service Path is the name.
	Path string
	Args []string

	// Env is the environment as "key=value", added to the login environment
	// of the remote user, over which it wins. This differs from os/exec: nil
	// is not the environment of this process. Names that the server does not
	// let through are in [Cmd.DroppedEnv].
	Env []string

	// Dir is the working directory, relative to the remote user's home, which
	// it is by default.
	Dir string

	// Stdin is the command's input. Nil is /dev/null. If it is an *os.File it
	// is read in the background while the command runs, at most a window ahead
	// of what the command takes, and Wait does not wait for its end. Otherwise
	// Wait waits until the reader ended or the command no longer reads.
	//
	// If reading it fails, the command is killed: it never takes a part for
	// the whole. This differs from os/exec, where it sees the end of input.
	Stdin io.Reader

	// Stdout and Stderr take the command's output; nil is /dev/null. If they
	// are equal the command has one pipe for both, in the order it wrote, and
	// at most one goroutine at a time calls Write. With Term, Stderr is not
	// used: a terminal has one output.
	Stdout io.Writer
	Stderr io.Writer

	// ExtraFiles are files that the command inherits: entry i becomes its
	// descriptor 3+i. They need a Client for a Unix socket, and Stdin, Stdout and
	// Stderr that are nil or files ([CanPass]); otherwise Start fails. This
	// differs from os/exec: no entry is nil, a directory or a device other than
	// /dev/null, and there are at most 64 different files in all.
	ExtraFiles []*os.File

	// Term, if not nil, runs the command on a pty.
	Term *Term

	// Timeout, if positive, has the server end the command's whole tree after
	// that time. The record's How is then "timeout".
	Timeout time.Duration

	// Drain is how long the server waits for the end of output after the
	// command exited, because something in the background still holds it; only
	// time in which nothing came counts. 0 waits for ever, as ssh does;
	// negative does not wait. What the command itself wrote always arrives. If
	// output was given up and the command succeeded, Wait returns ErrWaitDelay.
	Drain time.Duration

	// Orphan is what the server does when the session ends first; empty is
	// OrphanKill.
	Orphan Orphan

	// Cancel is called when the context of CommandContext ends before the
	// command. By default it kills the command's whole tree. If it returns
	// os.ErrProcessDone, Wait does not report the context's error.
	Cancel func() error

	// WaitDelay bounds how long Wait waits after the context ended or Wait
	// learned that the command exited, whichever came first: then the tree is
	// killed, streams are abandoned, and Wait returns ErrWaitDelay if nothing
	// worse. 0 is no bound.
	WaitDelay time.Duration

	// ProcessState is set by Wait when the end record came.
	ProcessState *ProcessState

	client *Client
	kind   cmdKind
	line   string
	ctx    context.Context

	run *running // set by Start
	// Ends of pipes made by StdinPipe and the like.
	stdinPipe              *stdinPipe
	stdoutPipe, stderrPipe *outputPipe
	started, waited        bool
}

// withContext sets the context. It must not be nil.
func (c *Cmd) withContext(ctx context.Context) *Cmd {
	if ctx == nil {
		panic("nil Context")
	}
	c.ctx = ctx
	c.Cancel = func() error { return c.SignalTo("KILL", ToTree) }
	return c
}

// String returns a text for people: the words of the command. It is not meant
// for a shell.
func (c *Cmd) String() string {
	switch c.kind {
	case kindLine:
		return c.line
	case kindService:
		return c.Path
	case kindArgv:
	}
	return strings.Join(append([]string{c.Path}, c.argv()[1:]...), " ")
}

func (c *Cmd) argv() []string {
	if len(c.Args) > 0 {
		return c.Args
	}
	return []string{c.Path}
}

// Run starts the command and waits for its end. Its errors are those of Start
// and Wait.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the command and returns its stdout. If the error is an
// [*ExitError] and Stderr was nil, it holds a part of stderr.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("session: Stdout already set")
	}
	var stdout strings.Builder
	c.Stdout = &stdout
	var head *headTail
	if c.Stderr == nil && c.Term == nil {
		head = &headTail{}
		c.Stderr = head
	}
	err := c.Run()
	if exit, ok := errors.AsType[*ExitError](err); ok && head != nil {
		exit.Stderr = head.bytes()
	}
	return []byte(stdout.String()), err
}

// CombinedOutput runs the command and returns its stdout and stderr, in the
// order in which it wrote them.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("session: Stdout already set")
	}
	if c.Stderr != nil {
		return nil, errors.New("session: Stderr already set")
	}
	var both strings.Builder
	c.Stdout = &both
	if c.Term == nil {
		c.Stderr = &both
	}
	err := c.Run()
	return []byte(both.String()), err
}

// Start starts the command and returns when the server said that it runs, or
// refused it. A refusal is an [*Error]; nothing has run then. Start waits while
// the session already runs as many commands as the server allows, as long as
// the context permits. If that ends first, a command that was started meanwhile
// is ended, whatever its policy.
//
// After a successful Start, Wait must be called.
func (c *Cmd) Start() error {
	if c.started { // before the pipes of a running command are closed
		return errors.New("session: already started")
	}
	c.started = true
	if err := c.ready(); err != nil {
		c.closePipes()
		return err
	}
	ctx := c.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	run, err := c.begin(ctx)
	if err != nil {
		c.closePipes()
		return err
	}
	c.run = run
	go run.watch()
	return nil
}

// ready reports why the command cannot be started.
func (c *Cmd) ready() error {
	switch {
	case c.client == nil:
		return errors.New("session: Cmd was not made by a Client")
	case c.kind != kindLine && c.Path == "":
		return errors.New("session: no command")
	case c.ctx != nil && c.ctx.Err() != nil:
		return c.ctx.Err()
	case c.Cancel != nil && c.ctx == nil:
		return errors.New("session: command with a non-nil Cancel was not created with CommandContext")
	case c.client.Err() != nil:
		return c.client.lost()
	case c.client.isDraining():
		return &Error{Name: c.Path, Code: proto.CodeShuttingDown}
	}
	return nil
}

// begin starts the command with the caller's own files, or with streams.
func (c *Cmd) begin(ctx context.Context) (*running, error) {
	if c.passes() {
		run, err := c.beginPassed(ctx)
		if !errors.Is(err, proto.CodeUnsupported) || c.client.mux == nil || len(c.ExtraFiles) > 0 {
			return run, err
		}
		c.client.passing.off.Store(true)
	}
	switch {
	case len(c.ExtraFiles) > 0:
		return nil, errExtraFiles
	case c.client.mux == nil:
		return nil, errNotFiles
	}
	return c.beginStreams(ctx)
}

// beginStreams gets a place, sends the command and waits for the answer.
func (c *Cmd) beginStreams(ctx context.Context) (*running, error) {
	e := c.exec()
	if code, message := e.Check(); code != "" {
		return nil, &Error{Name: c.Path, Code: code, Message: message}
	}
	if err := c.client.running.enter(ctx, c.client.Done()); err != nil {
		return nil, c.beginError(err)
	}
	if err := c.client.pending.enter(ctx, c.client.Done()); err != nil {
		c.client.running.leave()
		return nil, c.beginError(err)
	}
	defer c.client.pending.leave()
	run := newRunning(c, ctx, sessionBond{c.client})
	if err := run.open(ctx, e); err != nil {
		run.discard()
		return nil, c.beginError(err)
	}
	if err := run.awaitStarted(ctx); err != nil {
		return nil, err
	}
	return run, nil
}

// beginError names the session's end as the cause where it is.
func (c *Cmd) beginError(err error) error {
	lost := c.client.Err()
	if missing, ok := errors.AsType[*ExitMissingError](err); ok {
		if lost != nil {
			missing.Cause = lost
		}
		return missing
	}
	if lost != nil {
		return lost
	}
	return err
}

// exec is the message that asks for the command.
func (c *Cmd) exec() *proto.Exec {
	e := &proto.Exec{Env: byteStrings(c.Env), Dir: []byte(c.Dir), Term: c.Term, Orphan: c.Orphan}
	switch {
	case c.kind == kindArgv:
		e.Argv = byteStrings(c.argv())
		if c.Path != c.argv()[0] {
			e.Path = []byte(c.Path)
		}
	case c.kind == kindService:
		e.Subsystem = []byte(c.Path)
	case c.line != "":
		e.Line = []byte(c.line)
	}
	if c.Timeout > 0 {
		e.Timeout = uint64(c.Timeout)
	}
	if c.Drain != 0 {
		drain := uint64(max(c.Drain, 0))
		e.Drain = &drain
	}
	return e
}

func byteStrings(list []string) [][]byte {
	if list == nil {
		return nil
	}
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}

// Wait waits for the command to end and for its streams to be copied. It must
// follow a successful Start.
//
// It returns nil only if the command exited with status 0, the end record came
// and everything it counts was received. A status that is not 0 or a signal is
// an [*ExitError]. If the record is missing the error is an
// [*ExitMissingError]; if bytes are missing it wraps [ErrTruncated].
//
// Wait closes the pipes of StdinPipe, StdoutPipe and StderrPipe once the
// command exited, so reads from them must be finished first.
func (c *Cmd) Wait() error {
	if c.run == nil {
		return errors.New("session: not started")
	}
	if c.waited {
		return errors.New("session: Wait was already called")
	}
	c.waited = true
	return c.run.wait()
}

// Signal sends sig to the command's own process, as os.Process.Signal does. If
// the command has ended it returns os.ErrProcessDone.
func (c *Cmd) Signal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("session: unsupported signal %v", sig)
	}
	name, ok := signalName(number)
	if !ok {
		return fmt.Errorf("session: unsupported signal %v", sig)
	}
	return c.SignalTo(name, ToProcess)
}

// SignalTo sends the signal of that name, without SIG, such as "TERM" or
// "RTMIN+3", to some of the command's processes. It returns when the request
// was sent.
func (c *Cmd) SignalTo(name string, to Target) error {
	if c.run == nil {
		return errors.New("session: not started")
	}
	return c.run.signal(name, to)
}

// Resize changes the size of the command's terminal.
func (c *Cmd) Resize(rows, cols uint16) error {
	run := c.run
	if run == nil {
		return errors.New("session: not started")
	}
	if run.isOver() {
		return os.ErrProcessDone
	}
	return run.bond.send(&proto.Message{Resize: &proto.Resize{ID: run.id, Rows: rows, Cols: cols}})
}

// Abandon tells the server that nobody waits for this command any more: it
// applies the orphan policy. Wait then returns an [*ExitMissingError].
func (c *Cmd) Abandon() error {
	if c.run == nil {
		return errors.New("session: not started")
	}
	return c.run.abandon(errAbandoned)
}

// Pid returns the process id at the server, 0 before Start.
func (c *Cmd) Pid() int {
	if c.run == nil {
		return 0
	}
	return c.run.pid
}

// DroppedEnv returns the names in Env that the server did not pass on.
func (c *Cmd) DroppedEnv() []string {
	if c.run == nil {
		return nil
	}
	return c.run.dropped
}

// Exited is closed when the server said that the command's own process ended,
// or when that will never be known. Output may still follow. It is nil before
// Start.
func (c *Cmd) Exited() <-chan struct{} {
	if c.run == nil {
		return nil
	}
	return c.run.exited
}
