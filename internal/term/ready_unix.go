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
