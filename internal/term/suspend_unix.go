//go:build unix

package term

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Suspend stops this process as Ctrl-Z would, with the terminal as it was
// before, and returns when it is continued, with the terminal raw again.
//
// It returns after a second if the process does not stop, because nobody is
// there to continue it.
func (r *Raw) Suspend() error {
	if err := r.leave(); err != nil {
		return err
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTSTP); err == nil {
		// The signal may reach another thread first, so that the call returns
		// before the process stops.
		select {
		case <-continued:
		case <-time.After(time.Second):
		}
	}
	return r.Enter()
}
