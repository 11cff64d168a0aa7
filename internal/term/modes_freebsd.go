package term

import "golang.org/x/sys/unix"

func addSystemFlags(map[string]uint32, *unix.Termios) {}
