//go:build linux || darwin || freebsd

package transport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// outOfResources reports whether accepting failed because something has run
// out that comes back.
func outOfResources(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
