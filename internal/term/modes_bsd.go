//go:build darwin || freebsd

package term

import "golang.org/x/sys/unix"

const (
	ioctlGetTermios = unix.TIOCGETA
	noKey           = 0xff // _POSIX_VDISABLE
)

func systemKeys() map[string]int {
	return map[string]int{"vdsusp": unix.VDSUSP, "vstatus": unix.VSTATUS}
}
