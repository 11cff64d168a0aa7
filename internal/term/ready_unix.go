//go:build unix

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// WaitReadable waits until f can be read. It is for a file that another
// program has made non-blocking, which shows as EAGAIN.
func WaitReadable(f *os.File) error { return poll(f, unix.POLLIN) }

// WaitWritable waits until f can be written; see [WaitReadable].
func WaitWritable(f *os.File) error { return poll(f, unix.POLLOUT) }

// Blocks reports whether f is in blocking mode, as programs expect.
func Blocks(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	blocks := false
	err = conn.Control(func(fd uintptr) {
		flags, ferr := unix.FcntlInt(fd, unix.F_GETFL, 0)
		blocks = ferr == nil && flags&unix.O_NONBLOCK == 0
	})
	return err == nil && blocks
}

func poll(f *os.File, events int16) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var pollErr error
	err = conn.Control(func(fd uintptr) {
		for {
			_, pollErr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
			if pollErr != unix.EINTR {
				return
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("poll", pollErr)
	}
	return err
}
