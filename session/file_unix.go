//go:build unix

package session

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ownFile returns another descriptor of the same open file, so that the caller
// may close his after Start, as with os/exec.
func ownFile(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	err = conn.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err != nil {
		dupErr = os.ErrClosed
	}
	if dupErr != nil {
		return nil, &os.PathError{Op: "duplicate", Path: f.Name(), Err: dupErr}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// disownFile gives back what ownFile returned.
func disownFile(f *os.File) { _ = f.Close() }

// copyFile copies a file of our own to the command's stdin until its end, or
// until the command no longer reads or has ended, and closes it. It waits with
// poll(2) for something to read, so that it neither changes the file's mode nor
// takes input that nobody will get; one thread waits there.
func (r *running) copyFile(f *os.File) error {
	defer disownFile(f)
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	wake, ring, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wake.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		defer ring.Close()
		select {
		case <-r.stdin.Stopped():
		case <-r.exited:
		case <-ended:
		}
	}()
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		if err := pollReadable(conn, wake); err != nil {
			return err
		}
		n, err := f.Read(buf[:])
		if n > 0 {
			if _, err := r.stdin.Write(buf[:n]); err != nil {
				return errNoReader
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, unix.EAGAIN): // somebody else took it, from a file in nonblocking mode
		case err != nil:
			return err
		}
	}
}

// pollReadable waits until a read of the file would not block. If wake ends
// first it returns errNoReader.
func pollReadable(conn interface{ Control(func(uintptr)) error }, wake *os.File) error {
	wakeConn, err := wake.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	control := func(fd, wakeFD uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wakeFD), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, -1)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err == nil && fds[1].Revents != 0 {
				err = errNoReader
			}
			result = err
			return
		}
	}
	err = conn.Control(func(fd uintptr) {
		if err := wakeConn.Control(func(wakeFD uintptr) { control(fd, wakeFD) }); err != nil {
			result = err
		}
	})
	if err != nil {
		return err
	}
	return result
}
