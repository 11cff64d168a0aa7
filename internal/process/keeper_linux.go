package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keeperFD is where a keeper finds the socket to the program that started it.
const keeperFD = 3

// keeper is the life of a keeper process: it starts one command, adopts
// everything that the command's tree orphans, and obeys the other end of its
// socket. It exits when the tree is empty. When the other end goes away before
// that and without a release, the keeper applies the orphan policy: kill runs
// the ladder; keep exits at once, and init adopts the tree.
//
// It keeps the user of the program that started it, also where the command runs
// as another: a keeper of root's reaches what the command started through
// sudo(8), and the command's user can neither stop, kill nor trace it. It reads
// nothing that this user writes but /proc.
//
// Its goroutines are the main one, one that reads orders and one per end or
// kill order; all end with the process.
type keeper struct {
	conn    *os.File
	writing sync.Mutex // one frame at a time
	deaths  <-chan os.Signal
	child   *child
	tree    *descendants
	policy  bool // Spec.Keep, in force once the start was confirmed
	files   int  // of the command, beyond the first three
	grace   time.Duration
	keep    atomic.Bool // the tree outlives the other end of the socket
}

// KeeperMain is the body of the hidden subcommand that runs a keeper, to be
// named by Options.Keeper. It returns the exit code of the process: 0 if the
// tree is empty or let go on purpose.
func KeeperMain() int {
	k, err := newKeeper()
	if err != nil {
		fmt.Fprintf(os.Stderr, "rexd: error: not started as a keeper: %v\n", err)
		return 2
	}
	switch err := k.start(); {
	case errors.Is(err, errNoOrder):
		return 0
	case err != nil:
		_ = k.report(failure(err))
		return 0
	}
	return k.run()
}

// newKeeper prepares this process, whose descriptors 0, 1 and 2 are already the command's.
func newKeeper() (*keeper, error) {
	if _, err := unix.GetsockoptInt(keeperFD, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	conn, err := ourEnd(keeperFD, "keeper socket")
	if err != nil {
		return nil, err
	}
	deaths := make(chan os.Signal, 1) // one token is enough: every death is looked for
	signal.Notify(deaths, syscall.SIGCHLD)
	// Caught, so that the keeper survives what its command's user sends to
	// everything, and the command still gets default dispositions.
	survived := make(chan os.Signal, 1)
	signal.Notify(survived, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	return &keeper{conn: conn, deaths: deaths}, nil
}

var errNoOrder = errors.New("the socket ended before the order to start")

// start reads the first order and starts the command.
func (k *keeper) start() error {
	first, err := readFrame(k.conn, maxOrder)
	if err != nil {
		return errNoOrder
	}
	order, ok := first.(*startOrder)
	if !ok {
		return errNoOrder
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return startError(CodeStartFailed, os.NewSyscallError("prctl", err))
	}
	l, err := newLaunch(&order.spec, commandFiles(order.files), order.term)
	if err != nil {
		return err
	}
	child, pidfd, err := l.start()
	if err != nil {
		return err
	}
	_ = unix.Close(pidfd) // SIGCHLD tells of every death here
	k.child, k.grace = child, order.grace
	k.files = order.files
	k.policy = order.spec.Keep
	k.tree = &descendants{root: os.Getpid(), empty: make(chan struct{})}
	return nil
}

// commandFiles are this process's descriptors that the command gets: the first
// three, and n behind the keeper's own.
func commandFiles(n int) []uintptr {
	files := []uintptr{0, 1, 2}
	for i := range n {
		files = append(files, uintptr(keeperFD+1+i))
	}
	return files
}

func failure(err error) *failedReport {
	r := &failedReport{code: CodeStartFailed, reason: err.Error(), errno: int64(errnoOf(err))}
	if e, ok := errors.AsType[*StartError](err); ok {
		r.code = e.Code
	}
	r.reason = r.reason[:min(len(r.reason), maxReport/2)]
	return r
}

// run keeps the command until its tree is empty or let go.
func (k *keeper) run() int {
	releaseFiles(k.files)
	_ = k.report(&startedReport{pid: int64(k.child.pid)}) // an end of the socket shows in obey
	released := make(chan struct{})
	lost := make(chan struct{})
	go k.obey(released, lost)
	for {
		select {
		case <-k.deaths:
			k.reap()
		case <-k.tree.empty:
			return 0
		case <-released:
			released = nil
		case <-lost:
			return k.applyPolicy()
		}
		if released == nil && isClosed(k.child.done) {
			return 0
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// releaseFiles lets the command alone hold its descriptors, n beyond the first
// three, so that their ends show when it closes them.
func releaseFiles(n int) {
	for _, fd := range commandFiles(n)[3:] {
		_ = unix.Close(int(fd))
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	for fd := range 3 {
		if err == nil {
			_ = unix.Dup3(null, fd, 0)
		} else {
			_ = unix.Close(fd)
		}
	}
	if err == nil {
		_ = unix.Close(null)
	}
}

// reap reaps every child that has ended and reports the command's end. The
// tree is empty when there are no children: whoever loses his parent becomes a
// child of this process.
func (k *keeper) reap() {
	for {
		pid, err := k.child.reapAny()
		switch {
		case errors.Is(err, unix.ECHILD):
			if !isClosed(k.tree.empty) {
				close(k.tree.empty)
			}
			return
		case err != nil || pid == 0:
			return
		case pid == k.child.pid:
			_ = k.report(&exitedReport{state: k.child.state})
		}
	}
}

// applyPolicy is the end of a keeper whose other side died.
func (k *keeper) applyPolicy() int {
	if k.keep.Load() {
		return 0
	}
	go func() {
		_ = ladder(context.Background(), k.tree, k.grace)
		for !isClosed(k.tree.empty) { // something in an uninterruptible sleep
			_ = killAll(k.tree)
		}
	}()
	for !isClosed(k.tree.empty) {
		<-k.deaths
		k.reap()
	}
	return 0
}

// obey reads orders until a release, which closes released, or the end of the
// socket, which closes lost.
func (k *keeper) obey(released, lost chan<- struct{}) {
	for {
		order, err := readFrame(k.conn, maxOrder)
		if err != nil {
			close(lost)
			return
		}
		switch order := order.(type) {
		case *signalOrder:
			_ = k.report(k.signal(order))
		case *endOrder:
			go func() { _ = ladder(context.Background(), k.tree, order.grace) }()
		case *killOrder:
			go func() { _ = killAll(k.tree) }()
		case *confirmOrder:
			k.keep.Store(k.policy)
		case *releaseOrder:
			k.keep.Store(true) // first: the socket's end may follow at once
			close(released)
			released = make(chan struct{}) // a second one means nothing
		}
	}
}

func (k *keeper) signal(order *signalOrder) *signalReport {
	sig := syscall.Signal(order.sig)
	var err error
	if order.to == ToTree {
		err = k.tree.signal(sig)
	} else {
		err = k.child.signal(order.to == ToGroup, sig)
	}
	r := &signalReport{id: order.id}
	switch {
	case errors.Is(err, os.ErrProcessDone):
		r.errno = int64(unix.ESRCH)
	case err != nil:
		r.errno, r.reason = int64(errnoOf(err)), err.Error()
		r.reason = r.reason[:min(len(r.reason), maxReport/2)]
	}
	return r
}

func (k *keeper) report(m message) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	return writeFrame(k.conn, m)
}
