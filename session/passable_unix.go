//go:build unix

package session

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CanPass reports whether a command on a Unix socket can have f itself as its
// stdin, stdout or stderr: f is a pipe, a socket, a regular file or /dev/null.
// With anything else streams are used.
func CanPass(f *os.File) bool {
	kind, err := kindOf(f)
	return err == nil && (kind == unix.S_IFIFO || kind == unix.S_IFSOCK || kind == unix.S_IFREG || kind == unix.S_IFCHR)
}

// isExtra returns nil if f can be one of ExtraFiles.
func isExtra(f *os.File) error {
	_, err := kindOf(f)
	return err
}

// kindOf is the file's type, and an error if it cannot be passed at all.
func kindOf(f *os.File) (kind uint32, err error) {
	if f == nil {
		return 0, os.ErrInvalid
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(fd uintptr) { kind, err = passableKind(int(fd)) })
	if cerr != nil {
		return 0, os.ErrClosed
	}
	return kind, err
}

var (
	errDirectory = errors.New("a directory is not passed")
	errDevice    = errors.New("a terminal or another device is not passed")
)

// passableKind is the type of an open file, and an error for what is never
// passed: a directory, and a device other than /dev/null, since a command in a
// session of its own has no business at a terminal of its client.
func passableKind(fd int) (uint32, error) {
	var st, null unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	kind := uint32(st.Mode) & unix.S_IFMT //nolint:unconvert // it has 16 bits on darwin
	switch kind {
	case unix.S_IFDIR:
		return 0, errDirectory
	case unix.S_IFBLK:
		return 0, errDevice
	case unix.S_IFCHR:
		if err := unix.Stat(os.DevNull, &null); err != nil || st.Rdev != null.Rdev {
			return 0, errDevice
		}
	}
	return kind, nil
}

// checkPassed judges descriptors that a client passed.
func checkPassed(files []int) error {
	for i, fd := range files {
		if _, err := passableKind(fd); err != nil {
			return fmt.Errorf("descriptor %d of the client: %w", i+1, err)
		}
	}
	return nil
}

// descriptor is the number of f, which is in blocking mode from now on, as
// os/exec has it: programs expect that of what they inherit.
func descriptor(f *os.File) (int, error) {
	fd := f.Fd()
	if int(fd) < 0 {
		return -1, &os.PathError{Op: "pass", Path: f.Name(), Err: os.ErrClosed}
	}
	return int(fd), nil
}

func closeFiles(files []int) {
	for _, fd := range files {
		_ = unix.Close(fd)
	}
}
