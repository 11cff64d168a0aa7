//go:build !linux && !darwin && !freebsd

package term

import (
	"errors"
	"os"
)

// NoEcho is not supported on this system.
func NoEcho(*os.File) (again, restore func() error, err error) {
	return nil, nil, errors.ErrUnsupported
}
