//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A pathLock is the right to replace the socket at a path. It is a locked file
// beside the socket, with the process id of the holder in it for people.
type pathLock struct {
	file *os.File
	name string
}

// lockPath takes the lock for the socket at path, or fails with an
// [*InUseError] if another process has it.
func lockPath(path string) (*pathLock, error) {
	name := path + ".lock"
	for range 100 {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		l := &pathLock{file: f, name: name}
		if err := l.take(path); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// The holder before removes the file while it has the lock: what was
		// locked here may be no longer what the name stands for.
		if l.ours() {
			return l, l.sign()
		}
		_ = f.Close()
	}
	return nil, fmt.Errorf("lock %s: it is replaced all the time", name)
}

func (l *pathLock) take(path string) error {
	if fi, err := l.file.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, &UnsafePathError{path, l.name + " is not a regular file"})
	}
	err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &InUseError{Path: path, PID: l.holder()}
	}
	return os.NewSyscallError("flock", err)
}

// holder is the process id in the file, 0 if there is none.
func (l *pathLock) holder() int {
	var b [32]byte
	n, _ := l.file.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func (l *pathLock) sign() error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		l.release()
	}
	return err
}

func (l *pathLock) ours() bool {
	fi, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(l.name)
	return err == nil && os.SameFile(fi, now)
}

// release removes the file, if it is still the one that was locked, and gives
// the lock back.
func (l *pathLock) release() {
	if l.ours() {
		_ = os.Remove(l.name)
	}
	_ = l.file.Close()
}
