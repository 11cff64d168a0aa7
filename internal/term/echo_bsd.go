//go:build darwin || freebsd

package term

import "golang.org/x/sys/unix"

const ioctlSetTermios = unix.TIOCSETA
