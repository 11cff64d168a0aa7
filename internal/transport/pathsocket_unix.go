//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A pathSocket is a listening Unix socket at its place, and the right to be
// there.
type pathSocket struct {
	ln     *net.UnixListener
	path   string
	socket fs.FileInfo // as it was bound
	lock   *pathLock
}

// An access is who may connect to a pathSocket.
type access struct {
	mode fs.FileMode
	gid  int // -1 leaves the group as it is
}

// bindPath makes a socket for those whom the access lets in at path, as
// [ListenUnix] says. prepare is called with its descriptor before it is bound.
func bindPath(path string, who access, prepare func(fd int) error) (*pathSocket, error) {
	if err := CheckListenUnix(path); err != nil {
		return nil, err
	}
	lock, err := lockPath(path)
	if err != nil {
		return nil, err
	}
	s := &pathSocket{path: path, lock: lock}
	if err := s.bind(who, prepare); err != nil {
		lock.release()
		return nil, err
	}
	return s, nil
}

// CheckListenUnix reports whether [ListenUnix] would take the path as far as
// can be told without binding: its form, its directories, and what is there.
// Whether a process listens there already is not looked at.
func CheckListenUnix(path string) error {
	if os.Geteuid() == overflowUID {
		return errNobody
	}
	if err := checkName(path); err != nil {
		return err
	}
	if err := checkDirectory(path, os.Geteuid()); err != nil {
		return err
	}
	_, err := replaceable(path)
	return err
}

// replaceable reports whether a socket is at path. Anything else there is an error.
func replaceable(path string) (there bool, err error) {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case fi.Mode().Type() != fs.ModeSocket:
		return false, &UnsafePathError{path, "there is something that is not a socket; it is not replaced"}
	}
	return true, nil
}

// bind makes the socket and puts it at its place. The lock is held.
func (s *pathSocket) bind(who access, prepare func(fd int) error) error {
	if err := probe(s.path); err != nil {
		return err
	}
	temp := s.path + spare
	if err := removeSpare(temp); err != nil {
		return err
	}
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return errors.Join(restrict(fd), prepare(fd)) })
	}}
	ln, err := cfg.Listen(context.Background(), "unix", temp)
	if err != nil {
		return fmt.Errorf("socket %s: %w", s.path, err)
	}
	s.ln = ln.(*net.UnixListener)
	s.ln.SetUnlinkOnClose(false)
	if err := s.place(temp, who); err != nil {
		_ = s.ln.Close()
		_ = os.Remove(temp)
		return err
	}
	return nil
}

// place puts the socket at its place. Until it has its group nobody else may
// connect, so that no other group's members ever can.
func (s *pathSocket) place(temp string, who access) error {
	if who.gid != -1 {
		if err := os.Lchown(temp, -1, who.gid); err != nil {
			return fmt.Errorf("socket %s: group %d: %w", s.path, who.gid, errors.Unwrap(err))
		}
	}
	if err := os.Chmod(temp, who.mode); err != nil {
		return err
	}
	fi, err := os.Lstat(temp)
	if err != nil {
		return err
	}
	s.socket = fi
	return os.Rename(temp, s.path)
}

// close removes the socket if it is still at its place, and gives the place up.
func (s *pathSocket) close() error {
	var err error
	// While the socket is open its inode cannot be used again, so what is the
	// same file is ours.
	if fi, lerr := os.Lstat(s.path); lerr == nil && os.SameFile(fi, s.socket) {
		err = os.Remove(s.path)
	}
	err = errors.Join(err, s.ln.Close())
	s.lock.release()
	return err
}

// restrict runs before bind. The mode of an unbound socket is the one that its
// name gets where the system does that, so that there is no moment in which
// others could connect.
func restrict(fd int) error {
	if err := unix.Fchmod(fd, 0o600); err != nil && !errors.Is(err, unix.EINVAL) {
		return os.NewSyscallError("fchmod", err)
	}
	return nil
}

// removeSpare removes what a daemon that was killed between bind and rename
// left behind.
func removeSpare(temp string) error {
	there, err := replaceable(temp)
	if err != nil || !there {
		return err
	}
	return os.Remove(temp)
}

// probe returns nil if nobody listens at path: nothing is there, or a socket
// that is dead.
func probe(path string) error {
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return &InUseError{Path: path}
	case errors.Is(err, unix.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded): // its queue is full
		return &InUseError{Path: path}
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("socket %s: cannot tell whether it is in use: %w", path, err)
}
