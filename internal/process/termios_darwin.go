package process

import "golang.org/x/sys/unix"

type termFlag = uint64

func systemFlag(attr *unix.Termios, name string) (*termFlag, termFlag) {
	if name == "IUTF8" {
		return &attr.Iflag, unix.IUTF8
	}
	return nil, 0
}
