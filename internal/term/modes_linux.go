package term

import "golang.org/x/sys/unix"

const (
	ioctlGetTermios = unix.TCGETS
	noKey           = 0 // _POSIX_VDISABLE
)

func systemKeys() map[string]int { return nil }

func addSystemFlags(modes map[string]uint32, attr *unix.Termios) {
	addFlags(modes, uint64(attr.Iflag), map[string]uint64{"iutf8": unix.IUTF8})
}
