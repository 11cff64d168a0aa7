package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// keeperBackend starts every command through a keeper of its own.
type keeperBackend struct {
	program string
	argv    []string
	grace   time.Duration
	shield  *oomShield
}

func openKeepers(opts Options, shield *oomShield) (backend, error) {
	if len(opts.Keeper) == 0 {
		return nil, errors.New("no keeper program is configured")
	}
	program, err := exec.LookPath(opts.Keeper[0])
	if err == nil {
		program, err = filepath.Abs(program) // keepers run in /
	}
	if err != nil {
		return nil, err
	}
	return keeperBackend{program, opts.Keeper, opts.Grace, shield}, nil
}

func (keeperBackend) close() error { return nil }

// start starts a keeper and has it start the command. At the end of ctx it
// closes the socket: a keeper whose start hangs kills the command if that ever
// starts, and only then ends.
func (b keeperBackend) start(ctx context.Context, spec *Spec, std *stdio) (runner, error) {
	order, err := b.order(spec, std)
	if err != nil {
		return nil, err
	}
	k, err := b.startKeeper(std)
	if err != nil {
		return nil, startError(CodeStartFailed, fmt.Errorf("start a keeper: %w", err))
	}
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetDeadline(time.Unix(1, 0)) })
	err = k.startCommand(order)
	if !stop() && err == nil {
		err = givenUp(ctx)
	}
	if err != nil {
		_ = k.conn.Close()
		<-k.keeper.done
		return nil, err
	}
	go k.listen()
	return k, nil
}

// order translates spec for the keeper, which runs in another directory.
func (b keeperBackend) order(spec *Spec, std *stdio) ([]byte, error) {
	order := &startOrder{spec: *spec, term: std.term != nil, files: len(std.command) - 3, grace: b.grace}
	if !filepath.IsAbs(spec.Dir) {
		here, err := os.Getwd()
		if err != nil {
			return nil, startError(CodeNoDirectory, err)
		}
		order.spec.Dir = within(here, spec.Dir)
	}
	frame, err := encodeFrame(order)
	if err != nil {
		return nil, startError(CodeTooBig, fmt.Errorf("arguments and environment: %w", syscall.E2BIG))
	}
	return frame, nil
}

func (b keeperBackend) startKeeper(std *stdio) (*kept, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[1])
	conn, err := ourEnd(pair[0], "keeper socket")
	if err != nil {
		return nil, err
	}
	l := &launch{
		programs: []string{b.program},
		argv:     b.argv,
		env:      []string{"GOMAXPROCS=1"}, // nothing of ours, nothing of the user's
		dir:      "/",
		files:    slices.Insert(std.files(), keeperFD, uintptr(pair[1])),
		sys:      &syscall.SysProcAttr{Setsid: true},
		shield:   b.shield, // so the command has none either
	}
	keeper, err := l.startWatched()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &kept{
		keeper: keeper, conn: conn,
		answers: make(map[int64]chan *signalReport),
		ended:   make(chan struct{}), gone: make(chan struct{}),
	}, nil
}

// kept is a command that a keeper holds.
type kept struct {
	keeper  *child
	conn    *os.File
	writing sync.Mutex // one frame at a time

	command int         // pid
	session sessionTree // what to look for if the keeper dies; pid 0 if unknown

	ended chan struct{} // closed after state and err are set
	state State
	err   error

	gone chan struct{} // closed when the keeper has ended and nobody reads conn any more

	mu      sync.Mutex
	nextID  int64
	answers map[int64]chan *signalReport
}

// startCommand sends the order and reads the answer.
func (k *kept) startCommand(order []byte) error {
	if _, err := k.conn.Write(order); err != nil {
		return startError(CodeStartFailed, fmt.Errorf("order to the keeper: %w", err))
	}
	first, err := readFrame(k.conn, maxReport)
	if err != nil {
		return startError(CodeStartFailed, fmt.Errorf("answer of the keeper: %w", err))
	}
	switch first := first.(type) {
	case *startedReport:
		k.command = int(first.pid)
		k.session = k.findSession()
		_ = k.send(&confirmOrder{}) // the keeper of a short command may have ended already
		return nil
	case *failedReport:
		return startError(first.code, &keeperError{first.reason, syscall.Errno(first.errno)})
	}
	return startError(CodeStartFailed, errMalformed)
}

// keeperError is an error that happened in a keeper.
type keeperError struct {
	reason string
	errno  syscall.Errno
}

func (e *keeperError) Error() string { return e.reason }

// Unwrap returns the errno so that errors.Is works as if it had happened here.
func (e *keeperError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// findSession notes what is needed to find the command without its keeper. A
// keeper's word is not taken for which process that is.
func (k *kept) findSession() sessionTree {
	stat, err := procfs.Read(k.command)
	if err != nil || stat.Parent != k.keeper.pid {
		return sessionTree{} // ended and reaped already
	}
	return sessionTree{pid: stat.Pid, start: stat.Start}
}

// listen reads the keeper's reports until its end, and cleans up.
func (k *kept) listen() {
	for {
		report, err := readFrame(k.conn, maxReport)
		if err != nil {
			break
		}
		switch report := report.(type) {
		case *exitedReport:
			k.setEnd(report.state, nil)
		case *signalReport:
			k.answer(report)
		}
	}
	_ = k.keeper.signal(false, syscall.SIGKILL) // it is exiting, whether it wants or not
	<-k.keeper.done
	_ = k.conn.Close()
	k.setEnd(State{}, fmt.Errorf("%w: its keeper %s", ErrFateUnknown, describe(k.keeper.state)))
	close(k.gone)
}

func describe(s State) string {
	if s.Signal != 0 {
		return "was killed by " + s.SignalName
	}
	return fmt.Sprintf("exited with status %d", s.Code)
}

// setEnd sets the command's end, unless that is known already.
func (k *kept) setEnd(state State, err error) {
	if isClosed(k.ended) { // only listen closes it
		return
	}
	k.state, k.err = state, err
	close(k.ended)
}

func (k *kept) answer(report *signalReport) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.answers[report.id]; ok {
		c <- report // has room for it
		delete(k.answers, report.id)
	}
}

func (k *kept) pid() int { return k.command }

func (k *kept) wait() (State, error) {
	<-k.ended
	return k.state, k.err
}

func (k *kept) send(m message) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	return writeFrame(k.conn, m)
}

func (k *kept) signal(sig syscall.Signal, to Target) error {
	if to != ToTree && isClosed(k.ended) {
		return os.ErrProcessDone
	}
	report, err := k.ask(sig, to)
	switch {
	case err == nil && report.errno == 0:
		return nil
	case err == nil && report.errno == int64(unix.ESRCH):
		return os.ErrProcessDone
	case err == nil:
		return &keeperError{report.reason, syscall.Errno(report.errno)}
	case to != ToTree:
		return errors.Join(os.ErrProcessDone, k.err)
	case k.orderly():
		return nil
	}
	return k.orphans(func(t tree) error { return t.signal(sig) })
}

var errKeeperGone = errors.New("the keeper has ended")

// ask has the keeper send a signal. The error means that it never will.
func (k *kept) ask(sig syscall.Signal, to Target) (*signalReport, error) {
	c := make(chan *signalReport, 1)
	k.mu.Lock()
	k.nextID++
	id := k.nextID
	k.answers[id] = c
	k.mu.Unlock()
	_ = k.send(&signalOrder{id: id, sig: int64(sig), to: to}) // fails only if it is gone
	select {
	case report := <-c:
		return report, nil
	case <-k.gone:
		return nil, errKeeperGone
	}
}

// orderly tells, when the keeper is gone, whether it ended because its tree
// was empty or let go.
func (k *kept) orderly() bool {
	<-k.gone
	return k.keeper.err == nil && k.keeper.state.Signal == 0 && k.keeper.state.Code == 0
}

// orphans is for what a dead keeper left: its tree belongs to init now, and
// only a part of it can still be found.
func (k *kept) orphans(f func(tree) error) error {
	err := fmt.Errorf("%w: the command's tree may be incomplete without its keeper", ErrFateUnknown)
	if k.session.pid == 0 {
		return err
	}
	return errors.Join(err, f(k.session))
}

func (k *kept) end(ctx context.Context, grace time.Duration) error {
	k.wake()
	_ = k.send(&endOrder{grace})
	select {
	case <-k.gone:
	case <-ctx.Done():
		return k.kill()
	case <-time.After(grace + 2*killPatience):
		return ErrStillAlive
	}
	if k.orderly() {
		return nil
	}
	return k.orphans(func(t tree) error { return ladder(ctx, t, grace) })
}

func (k *kept) kill() error {
	k.wake()
	_ = k.send(&killOrder{})
	select {
	case <-k.gone:
	case <-time.After(killPatience + lastTick):
		return fmt.Errorf("%w for %v", ErrStillAlive, killPatience)
	}
	if k.orderly() {
		return nil
	}
	return k.orphans(killAll)
}

// wake continues a keeper that its command's user has stopped.
func (k *kept) wake() { _ = k.keeper.signal(false, syscall.SIGCONT) }

// release has the keeper let go of the tree. If the command still runs, the
// keeper stays until it can report its end.
func (k *kept) release() error {
	k.wake()
	_ = k.send(&releaseOrder{})
	if !isClosed(k.ended) {
		return nil
	}
	select {
	case <-k.gone:
	case <-time.After(killPatience):
		_ = k.keeper.signal(false, syscall.SIGKILL) // its tree is not harmed by that
		<-k.gone
	}
	return nil
}
