package cli

import (
	"errors"
	"syscall"
)

// errNoData is what Windows says of a pipe that its reader is closing.
const errNoData = syscall.Errno(232)

// isBrokenPipe reports whether nobody reads any more.
func isBrokenPipe(err error) bool {
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errNoData)
}
