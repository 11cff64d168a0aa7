package process

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func setPidfd(sys *syscall.SysProcAttr, fd *int) { sys.PidFD = fd }

// maxRSS in bytes: getrusage(2) counts in KiB.
func maxRSS(usage *unix.Rusage) int64 {
	return int64(usage.Maxrss) * 1024 //nolint:unconvert // an int32 on 32-bit machines
}

// watch waits for the child's end and reaps it. It owns pidfd.
func (c *child) watch(pidfd int) {
	if err := parkUntilExit(pidfd); err != nil {
		_, _ = ignoringEINTR(func() (int, error) { // holds a thread until then
			return 0, unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		})
	}
	c.reap()
}

// parkUntilExit waits until the process has ended, without reaping it, parked
// in the runtime's poller. It closes pidfd. An error means that this kernel
// cannot do it so (pidfds came with Linux 5.2, polling with 5.3, waiting with 5.4).
func parkUntilExit(pidfd int) error {
	if pidfd < 0 {
		return errors.ErrUnsupported
	}
	f, err := ourEnd(pidfd, "pidfd")
	if err != nil {
		return err
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var waitErr error
	err = conn.Read(func(fd uintptr) bool {
		var ended bool
		ended, waitErr = hasEnded(unix.P_PIDFD, int(fd))
		return ended || waitErr != nil
	})
	return errors.Join(err, os.NewSyscallError("waitid", waitErr))
}

// hasEnded tells whether the process is a zombie that waits for us, and leaves it so.
func hasEnded(idType, id int) (bool, error) {
	var info unix.Siginfo
	_, err := ignoringEINTR(func() (int, error) {
		return 0, unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	})
	return info.Signo != 0, err
}
