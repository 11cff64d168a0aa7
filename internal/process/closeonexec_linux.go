package process

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeOnExec marks every descriptor from 3 on, so that what this process
// inherited itself is not passed on.
func closeOnExec() error {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return markListed("/proc/self/fd") // before Linux 5.11
}
