//go:build !linux && !darwin && !freebsd

package sessiontest

import (
	"errors"
	"io/fs"
	"os"
)

const supported = false

func lock(*os.File) error { return errors.ErrUnsupported }

func isLocked(*os.File) bool { return false }

func isOwn(fs.FileInfo) bool { return false }
