package process

import "golang.org/x/sys/unix"

// pipe returns a new pipe, both ends blocking and closed on exec.
func pipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC)
	return p[0], p[1], err
}
