//go:build linux || darwin || freebsd

package sessiontest

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// supported is whether this system has what a registry needs.
const supported = true

// lock locks a file until it is closed, or the process ends. The error is
// EWOULDBLOCK if another open file holds the lock.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// isLocked reports whether another open file holds the lock.
func isLocked(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// isOwn reports whether a file is of this process's user.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
