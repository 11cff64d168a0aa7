package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/term"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A runner runs one command. Its fields are set before run, but for those with
// a word of their own.
type runner struct {
	env   Env
	ui    *ui
	inv   *invocation
	exact bool // argv as it is, not a line for the shell

	ctx    context.Context // ends when the start is to be given up
	cancel context.CancelCauseFunc
	raw    *term.Raw // the terminal on stdin, raw while the command has a pty
	out    outputs

	timeout *time.Timer // of ConnectTimeout; nil without one

	// Set by work; the others look at cmd and pty once started is closed.
	link    link
	client  atomic.Pointer[session.Client]
	proxy   atomic.Pointer[os.Process] // the ProxyCommand
	cmd     *session.Cmd
	pty     bool
	bare    bool      // without the pty that was refused
	streams bool      // the daemon takes no descriptors
	size    [2]uint16 // rows and columns of the pty; once it is started the sender's
	started chan struct{}

	leaving     chan leave  // the first reason to go without waiting for the end
	interrupted atomic.Bool // rex got SIGINT
	reached     atomic.Bool // somebody has accepted the connection
}

// leave is why rex ends before the command has.
type leave struct {
	failure *failure
	raise   os.Signal
}

// leaveTime is how long rex waits, after it has given up, for what may still
// come: the record, or the stop of the streams on its way out.
const leaveTime = time.Second

func newRunner(env Env, ui *ui, inv *invocation, exact bool) *runner {
	r := &runner{
		env: env, ui: ui, inv: inv, exact: exact, raw: term.NewRaw(env.Stdin),
		started: make(chan struct{}), leaving: make(chan leave, 1),
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.out.first = func() { ui.debugf("first byte") }
	if term.IsTerminal(env.Stderr) {
		ui.onTerminal(r.raw.Active, &r.out.midLine)
	}
	return r
}

// run runs the command and returns how that ended. The terminal is as it was
// before.
func (r *runner) run() outcome {
	survivePipes()
	finished := make(chan struct{})
	var supervisor sync.WaitGroup
	supervisor.Go(func() { r.guard(func() { r.supervise(finished) }) })
	defer func() {
		_ = r.raw.Restore()
		r.disconnect()
		close(finished)
		supervisor.Wait()
		r.cancel(nil)
	}()

	result := make(chan outcome, 1)
	go func() { result <- r.work() }()
	select {
	case out := <-result:
		select {
		case why := <-r.leaving: // which may be why work has ended
			result <- out
			return r.depart(why, result)
		default:
			return r.conclude(out)
		}
	case why := <-r.leaving:
		return r.depart(why, result)
	}
}

// guard runs a goroutine's work. A mistake in it must not end the program with
// the terminal raw.
func (r *runner) guard(work func()) {
	defer func() {
		if p := recover(); p != nil {
			r.leave(r.ui.panicked(p), nil)
		}
	}()
	work()
}

// depart waits a moment for the end, which may have been on its way, and
// otherwise goes for the reason given.
func (r *runner) depart(why leave, result <-chan outcome) outcome {
	select {
	case out := <-result:
		if out.record != nil {
			return r.conclude(out)
		}
	case <-time.After(leaveTime):
	}
	out := outcome{status: statusOwn, failure: why.failure, raise: why.raise}
	if why.raise != nil {
		out.status = signalStatus(why.raise)
	}
	return out
}

// conclude ends rex by SIGINT if the user interrupted it and that is how the
// command ended, or the way to it: a shell's loop stops only when it sees that.
func (r *runner) conclude(out outcome) outcome {
	if !r.interrupted.Load() {
		return out
	}
	byInterrupt := out.record != nil && out.record.Signal != nil && out.record.Signal.Name == "INT"
	lost := out.record == nil && out.failure != nil && out.failure.how == howLost
	if lost || byInterrupt {
		out.raise = os.Interrupt
		out.status = signalStatus(os.Interrupt)
	}
	return out
}

// disconnect ends the session, without hanging on a connection that does not
// move. A ProxyCommand notices the end of its input; one through which no
// daemon has ever answered may not, and is told.
func (r *runner) disconnect() {
	if proxy := r.proxy.Load(); proxy != nil && !r.isStarted() {
		_ = proxy.Signal(syscall.SIGHUP)
	}
	client := r.client.Load()
	if client == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Close()
	}()
	select {
	case <-done:
	case <-time.After(leaveTime):
	}
}

// work connects, starts the command and waits for it.
func (r *runner) work() (out outcome) {
	defer func() {
		if p := recover(); p != nil {
			out = failed(r.ui.panicked(p))
		}
	}()
	if f := r.begin(); f != nil {
		return failed(f)
	}
	err := r.cmd.Wait()
	_ = r.raw.Restore()
	return r.judge(err)
}

// begin connects and starts the command, within ConnectTimeout.
func (r *runner) begin() *failure {
	defer func() { r.pauseTimeout() }() // for good
	if d := r.inv.connectTimeout.value; d > 0 {
		r.timeout = time.AfterFunc(d, func() { r.cancel(errConnectTimeout) })
	}
	for {
		r.ui.debugf("connecting to %s", r.place())
		if f := r.connect(r.ctx); f != nil {
			return f
		}
		err := r.open()
		if err == nil {
			r.loginAccepted()
			return nil
		}
		if r.link.socket != "" && errors.Is(err, proto.CodeUnsupported) {
			r.streams, r.link = true, link{}
			continue
		}
		if !r.loginAgain(err) {
			_ = r.raw.Restore()
			return r.explain(err)
		}
	}
}

// pauseTimeout stops the clock of ConnectTimeout, which is not for questions,
// until resume begins anew.
func (r *runner) pauseTimeout() (resume func()) {
	if r.timeout == nil || !r.timeout.Stop() {
		return func() {}
	}
	return func() { r.timeout.Reset(r.inv.connectTimeout.value) }
}

// open begins the session and starts the command.
func (r *runner) open() error {
	client, err := r.newClient()
	if err != nil {
		return err
	}
	r.client.Store(client)
	if f := r.prepare(client); f != nil {
		return f
	}
	err = r.start()
	if !r.ptyRefused(err) {
		return err
	}
	r.bare = true
	if f := r.prepare(client); f != nil {
		return f
	}
	return r.start()
}

// newClient begins the session, if there is to be one.
func (r *runner) newClient() (*session.Client, error) {
	if r.link.socket != "" {
		r.ui.debugf("the command gets stdin, stdout and stderr themselves")
		return session.UnixClient(r.link.socket, r.link.user), nil
	}
	defer r.ui.debugf("session begun")
	return session.NewClient(r.link.conn, &session.Options{Log: r.ui.logger(), Window: r.link.window()})
}

// prepare makes the command of what the command line says.
func (r *runner) prepare(client *session.Client) *failure {
	switch {
	case r.inv.kind() == sessionSubsystem:
		r.cmd = client.ServiceContext(r.ctx, r.inv.words[0])
	case r.exact:
		r.cmd = client.CommandContext(r.ctx, r.inv.words[0], r.inv.words[1:]...)
	default:
		line, err := r.remoteLine()
		if err != nil {
			return usage("RemoteCommand: %v", err)
		}
		r.cmd = client.ShellContext(r.ctx, line)
	}
	c := r.cmd
	c.Cancel = func() error { return os.ErrProcessDone } // the context is for the start only
	c.Dir, c.Timeout, c.Drain, c.Orphan = r.inv.dir, r.inv.timeout, r.inv.drain, r.inv.orphan
	if r.link.socket != "" {
		c.Stdout, c.Stderr = r.env.Stdout, r.env.Stderr
	} else {
		c.Stdout = r.out.writer(r.env.Stdout, "stdout", r.started)
		c.Stderr = r.out.writer(r.env.Stderr, "stderr", r.started)
	}
	r.pty = r.wantsPTY()
	c.Env = r.environment()
	if r.pty {
		c.Term = r.terminal()
	}
	if !r.inv.stdinNull.value && !r.typed() && !r.typedLate() {
		c.Stdin = r.env.Stdin
	}
	return nil
}

// remoteLine is the line for the login shell; the tokens of RemoteCommand are
// those of ProxyCommand.
func (r *runner) remoteLine() (string, error) {
	if r.inv.remoteCommand.set {
		return r.expand(r.inv.remoteCommand.value)
	}
	return strings.Join(r.inv.words, " "), nil
}

// start starts the command. Until it runs the terminal stays as it is, so that
// Ctrl-C means what it says, and nothing is written before the terminal is raw.
func (r *runner) start() error {
	attach := func() error { return nil }
	if r.typed() {
		stdin, err := r.cmd.StdinPipe()
		if err != nil {
			return err
		}
		attach = func() error { return r.attachKeyboard(stdin) }
	}
	if r.typedLate() {
		stdin, err := r.cmd.StdinPipe()
		if err != nil {
			return err
		}
		attach = func() error { r.attachTerminal(stdin); return nil }
	}
	err := r.cmd.Start()
	if err == nil && r.bare {
		r.ui.warnf("this login may not have a terminal: the command runs without one")
	}
	if errors.Is(err, context.Canceled) {
		return context.Cause(r.ctx)
	}
	if err != nil {
		return err
	}
	err = attach()
	close(r.started)
	r.ui.debugf("process %d started", r.cmd.Pid())
	r.warnDropped()
	return err
}
