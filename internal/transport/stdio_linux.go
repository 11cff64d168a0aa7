package transport

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reopen opens the pipe behind fd anew, non-blocking for nobody else. It fails
// without /proc, without permission, and for a pipe without a reader.
func reopen(fd, mode int) (*os.File, bool) {
	n, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	if n < 3 { // never be a standard stream
		high, err := duplicate(n)
		_ = unix.Close(n)
		if err != nil {
			return nil, false
		}
		n = high
	}
	return os.NewFile(uintptr(n), "stdio"), true
}

func duplicateOnto(from, to int) error { return unix.Dup3(from, to, 0) }
