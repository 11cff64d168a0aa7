//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Stdio makes a connection of this process's standard input and output, which
// must be pipes or stream sockets, the same one or two (the error wraps
// [ErrNotConnection] otherwise). It takes the two over: descriptors 0 and 1 are
// /dev/null afterwards, so that nothing else gets into the connection or keeps
// it open. It can be called once.
//
// If others share a description with this process, it is non-blocking for them
// too until the connection is closed; for pipes on Linux that is avoided.
func Stdio() (Conn, error) {
	c, err := standard(0, 1)
	if err != nil {
		return nil, err // not a nil *stdioConn
	}
	return c, nil
}

// A stdioConn is a connection over two descriptors, or twice the same socket.
type stdioConn struct {
	in, out *end // equal if it is one socket
}

// standard makes a connection of the descriptors in and out, and leaves
// /dev/null in their place.
func standard(in, out int) (*stdioConn, error) {
	inStat, err := inspectEnd(in, "standard input")
	if err != nil {
		return nil, err
	}
	outStat, err := inspectEnd(out, "standard output")
	if err != nil {
		return nil, err
	}
	c := &stdioConn{}
	if c.in, err = openEnd(in, inStat, unix.O_RDONLY); err != nil {
		return nil, err
	}
	c.out = c.in
	if !isSocket(inStat) || inStat.Dev != outStat.Dev || inStat.Ino != outStat.Ino {
		if c.out, err = openEnd(out, outStat, unix.O_WRONLY); err != nil {
			_ = c.in.close()
			return nil, err
		}
	}
	if err := replaceByNull(in, out); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func isSocket(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFSOCK }

// inspectEnd refuses what cannot be an end of a connection.
func inspectEnd(fd int, name string) (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	if err := unix.Fstat(fd, st); err != nil {
		return nil, fmt.Errorf("%s: %w", name, os.NewSyscallError("fstat", err))
	}
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
	case unix.S_IFSOCK:
		if t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || t != unix.SOCK_STREAM {
			what = "a socket that is not a stream"
		}
	case unix.S_IFCHR:
		what = "a terminal or another device"
	case unix.S_IFREG:
		what = "a regular file"
	default:
		what = "no connection"
	}
	if what != "" {
		return nil, fmt.Errorf("%s is %s: %w", name, what, ErrNotConnection)
	}
	return st, nil
}

// replaceByNull puts /dev/null in the place of descriptors.
func replaceByNull(fds ...int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range fds {
		if err := duplicateOnto(int(null.Fd()), fd); err != nil {
			return os.NewSyscallError("dup", err)
		}
	}
	return nil
}

// Read reads from standard input.
func (c *stdioConn) Read(p []byte) (int, error) {
	n, err := c.in.file.Read(p)
	return n, closedAsNet(err)
}

// Write writes to standard output.
func (c *stdioConn) Write(p []byte) (int, error) {
	n, err := c.out.file.Write(p)
	return n, closedAsNet(err)
}

// CloseWrite shuts a socket's direction down; a pipe is closed.
func (c *stdioConn) CloseWrite() error {
	err := c.out.shutdown()
	if c.out != c.in {
		err = errors.Join(err, c.out.close())
	}
	return closedAsNet(err)
}

// Close closes both.
func (c *stdioConn) Close() error {
	err := c.in.close()
	if c.out != c.in {
		err = errors.Join(err, c.out.close())
	}
	return err
}

// closedAsNet makes the two errors for a closed descriptor one.
func closedAsNet(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// An end is one descriptor that can be waited for without a thread.
type end struct {
	file   *os.File
	socket bool
	shared int // the same description, to make it blocking again; -1 if it is not shared

	once sync.Once
	err  error
}

// openEnd opens an end for a descriptor, which stays as it is.
func openEnd(fd int, st *unix.Stat_t, mode int) (*end, error) {
	if st.Mode&unix.S_IFMT == unix.S_IFIFO {
		if f, ok := reopen(fd, mode); ok {
			return &end{file: f, shared: -1}, nil
		}
	}
	return shareEnd(fd, isSocket(st))
}

// shareEnd opens an end that shares its description with fd.
func shareEnd(fd int, socket bool) (*end, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	own, err := duplicate(fd)
	if err != nil {
		return nil, err
	}
	e := &end{socket: socket, shared: -1}
	if flags&unix.O_NONBLOCK == 0 {
		if e.shared, err = duplicate(fd); err != nil {
			_ = unix.Close(own)
			return nil, err
		}
		if err := unix.SetNonblock(own, true); err != nil {
			_ = unix.Close(own)
			_ = unix.Close(e.shared)
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	e.file = os.NewFile(uintptr(own), "stdio")
	return e, nil
}

// duplicate never returns 0, 1 or 2.
func duplicate(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return n, os.NewSyscallError("fcntl", err)
}

func (e *end) shutdown() error {
	if !e.socket {
		return nil
	}
	raw, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
	})
}

// close ends what runs on the descriptor before the description is made
// blocking again, or that would wait for ever.
func (e *end) close() error {
	e.once.Do(func() {
		e.err = e.file.Close()
		if e.shared >= 0 {
			_ = unix.SetNonblock(e.shared, false)
			_ = unix.Close(e.shared)
		}
	})
	return e.err
}
