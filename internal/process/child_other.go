//go:build unix && !linux

package process

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func setPidfd(*syscall.SysProcAttr, *int) {}

// maxRSS in bytes: darwin counts in them, the others in KiB.
func maxRSS(usage *unix.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) * 1024
}

// watch waits for the child's end and reaps it. It holds a thread until then.
func (c *child) watch(int) {
	const retry = 100 * time.Millisecond // for a moment without free descriptors
	for awaitExit(c.pid) != nil {
		time.Sleep(retry)
	}
	c.reap()
}

// awaitExit waits until the process has ended, without reaping it.
func awaitExit(pid int) error {
	kq, err := unix.Kqueue()
	if err != nil {
		return os.NewSyscallError("kqueue", err)
	}
	defer unix.Close(kq)
	unix.CloseOnExec(kq)
	var exit unix.Kevent_t
	unix.SetKevent(&exit, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	exit.Fflags = unix.NOTE_EXIT
	events := make([]unix.Kevent_t, 1)
	_, err = ignoringEINTR(func() (int, error) { return unix.Kevent(kq, []unix.Kevent_t{exit}, events, nil) })
	if errors.Is(err, unix.ESRCH) {
		return nil // ended already
	}
	return os.NewSyscallError("kevent", err)
}
