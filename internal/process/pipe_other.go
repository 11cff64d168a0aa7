//go:build unix && !linux

package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pipe returns a new pipe, both ends blocking and closed on exec. The lock
// keeps a start from happening between the two steps.
func pipe() (r, w int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return 0, 0, err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return p[0], p[1], nil
}
