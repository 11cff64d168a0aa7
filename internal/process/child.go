//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is one process that this process started and has to wait for.
type child struct {
	pid     int
	started time.Time
	done    chan struct{} // closed after state and err are set

	// mu is held while a signal is sent and while the process is reaped, so that
	// no signal goes to a pid or group id that the kernel may have given away.
	mu     sync.Mutex
	reaped bool

	state State
	err   error
}

func newChild(pid int, started time.Time) *child {
	return &child{pid: pid, started: started, done: make(chan struct{})}
}

// launch is what it takes to start a child.
type launch struct {
	programs  []string // the candidates, as findPrograms returned them
	argv, env []string
	dir       string
	files     []uintptr
	sys       *syscall.SysProcAttr
	cred      *Credential // as in sys
	shield    *oomShield
}

// start starts the process; the pidfd is -1 where the system has none. As in
// execvp(3), a candidate that may not be executed gives way to the next.
func (l *launch) start() (c *child, pidfd int, err error) {
	program := ""
	for _, program = range l.programs {
		if c, pidfd, err = l.attempt(program); !errors.Is(err, syscall.EACCES) {
			break
		}
	}
	if err != nil {
		return nil, -1, l.explain(err, program)
	}
	return c, pidfd, nil
}

func (l *launch) attempt(program string) (c *child, pidfd int, err error) {
	pidfd = -1
	setPidfd(l.sys, &pidfd)
	attr := &syscall.ProcAttr{Dir: l.dir, Env: l.env, Files: l.files, Sys: l.sys}
	started := time.Now()
	pid := 0
	l.shield.lowered(func() {
		err = withEmptyMask(func() (err error) {
			pid, _, err = syscall.StartProcess(program, l.argv, attr)
			return err
		})
	})
	if err != nil {
		return nil, -1, err
	}
	return newChild(pid, started), pidfd, nil
}

// startWatched starts the process and the goroutine that reaps it, which ends
// with the process.
func (l *launch) startWatched() (*child, error) {
	c, pidfd, err := l.start()
	if err != nil {
		return nil, err
	}
	go c.watch(pidfd)
	return c, nil
}

// reap takes the status of this child, which has ended. It must be called once.
func (c *child) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var status unix.WaitStatus
	var usage unix.Rusage
	_, err := ignoringEINTR(func() (int, error) { return unix.Wait4(c.pid, &status, 0, &usage) })
	if err != nil { // ECHILD: something else in this program waits for any child
		err = fmt.Errorf("%w: wait for process %d: %w", ErrFateUnknown, c.pid, err)
	}
	c.settleLocked(newState(status, &usage), err)
}

// reapAny reaps one child of this process that has ended, this one or another,
// and returns its pid; 0 if none has, ECHILD if there is none. It is for
// keepers, which have no other use for their children.
func (c *child) reapAny() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var status unix.WaitStatus
	var usage unix.Rusage
	pid, err := ignoringEINTR(func() (int, error) { return unix.Wait4(-1, &status, unix.WNOHANG, &usage) })
	if err == nil && pid == c.pid {
		c.settleLocked(newState(status, &usage), nil)
	}
	return pid, err
}

func (c *child) settleLocked(state State, err error) {
	c.reaped = true
	if c.err = err; err == nil {
		c.state = state
		c.state.Started, c.state.Ended = c.started, time.Now()
	}
	close(c.done)
}

func newState(status unix.WaitStatus, usage *unix.Rusage) State {
	s := State{
		Code:       status.ExitStatus(), // -1 if it was a signal
		Core:       status.CoreDump(),
		UserTime:   time.Duration(usage.Utime.Nano()),
		SystemTime: time.Duration(usage.Stime.Nano()),
		MaxRSS:     maxRSS(usage),
	}
	if status.Signaled() {
		s.Signal = int(status.Signal())
		s.SignalName = signalName(status.Signal())
	}
	return s
}

// wait waits until the child was reaped.
func (c *child) wait() (State, error) {
	<-c.done
	return c.state, c.err
}

// signal signals the process, or its group, which it leads. Once it was reaped
// neither id is its own any more: os.ErrProcessDone.
func (c *child) signal(group bool, sigs ...syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return os.ErrProcessDone
	}
	id := c.pid
	if group {
		id = -id
	}
	for _, sig := range sigs {
		if err := unix.Kill(id, sig); err != nil {
			return os.NewSyscallError("kill", err)
		}
	}
	return nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
