//go:build unix

package process

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// output is the reading end of a pipe, or the master of a terminal.
type output struct {
	file *os.File
	conn syscall.RawConn // nil if the poller cannot watch the file
}

func newOutput(f *os.File) (*output, error) {
	o := &output{file: f}
	if f.SetReadDeadline(time.Time{}) != nil {
		return o, nil // not pollable here: Read holds a thread, WaitReadable does nothing
	}
	conn, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	o.conn = conn
	return o, nil
}

// Read reads; the end of a terminal, which Linux reports as EIO once no
// process has it open any more, is io.EOF.
func (o *output) Read(p []byte) (int, error) {
	n, err := o.file.Read(p)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

// WaitReadable is documented at Output.
func (o *output) WaitReadable() error {
	if o.conn == nil {
		return nil
	}
	var pollErr error
	err := o.conn.Read(func(fd uintptr) bool {
		var ready bool
		ready, pollErr = readable(int(fd))
		return ready || pollErr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return o.expired(err)
	}
	if err != nil {
		return &os.PathError{Op: "wait", Path: o.file.Name(), Err: os.ErrClosed}
	}
	return pollErr
}

// expired is the end of a wait by deadline. What is there by now is still
// there to be read: the poller refuses before it looks.
func (o *output) expired(deadline error) error {
	var ready bool
	var pollErr error
	if err := o.conn.Control(func(fd uintptr) { ready, pollErr = readable(int(fd)) }); err != nil {
		return &os.PathError{Op: "wait", Path: o.file.Name(), Err: os.ErrClosed}
	}
	if ready || pollErr != nil {
		return pollErr
	}
	return deadline
}

// SetReadDeadline is documented at Output.
func (o *output) SetReadDeadline(t time.Time) error { return o.file.SetReadDeadline(t) }

// readable tells whether a read of fd would return at once, with data, the end
// or an error.
func readable(fd int) (bool, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0, os.NewSyscallError("poll", err)
		}
	}
}

// Close closes the end. A command that goes on writing gets SIGPIPE, or a
// hangup of its terminal.
func (o *output) Close() error { return o.file.Close() }
