package term

import "golang.org/x/sys/unix"

func addSystemFlags(modes map[string]uint32, attr *unix.Termios) {
	addFlags(modes, attr.Iflag, map[string]uint64{"iutf8": unix.IUTF8})
}
