package transport

import (
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// termGrace and killGrace are what a command has to end after its connection
// was closed, and after SIGTERM.
const (
	termGrace = 2 * time.Second
	killGrace = 8 * time.Second
)

// A child is a started command; wait has its own goroutine, which ends with it.
type child struct {
	cmd         *exec.Cmd
	term, kill  time.Duration
	exited      chan struct{}
	err         error // set before exited is closed
	dismissOnce sync.Once
}

func startChild(cmd *exec.Cmd) (*child, error) {
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = termGrace // for what holds Stderr after the command
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, term: termGrace, kill: killGrace, exited: make(chan struct{})}
	return c, nil
}

// wait waits for the command and must be called once.
func (c *child) wait() {
	c.err = c.cmd.Wait()
	close(c.exited)
}

func (c *child) exitErr() error {
	select {
	case <-c.exited:
		return c.err
	default:
		return nil
	}
}

// dismiss sees to it that the command ends. It returns at once.
func (c *child) dismiss() {
	c.dismissOnce.Do(func() { go c.end() })
}

// end has its own goroutine, which ends with the command.
func (c *child) end() {
	if c.exitsWithin(c.term) {
		return
	}
	if c.cmd.Process.Signal(syscall.SIGTERM) == nil && c.exitsWithin(c.kill) {
		return
	}
	_ = c.cmd.Process.Kill()
}

func (c *child) exitsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.exited:
		return true
	case <-t.C:
		return false
	}
}
