//go:build unix && !linux

package process

import "golang.org/x/sys/unix"

const (
	ioctlGetTermios = unix.TIOCGETA
	ioctlSetTermios = unix.TIOCSETA
	noChar          = 0xff // _POSIX_VDISABLE
)

func systemChar(name string) (index int, ok bool) {
	index, ok = map[string]int{"VDSUSP": unix.VDSUSP, "VSTATUS": unix.VSTATUS}[name]
	return index, ok
}
