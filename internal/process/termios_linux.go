package process

import "golang.org/x/sys/unix"

const (
	ioctlGetTermios = unix.TCGETS
	ioctlSetTermios = unix.TCSETS
	noChar          = 0 // _POSIX_VDISABLE
)

type termFlag = uint32

func systemChar(name string) (index int, ok bool) {
	index, ok = map[string]int{"VSWTCH": unix.VSWTC}[name]
	return index, ok
}

func systemFlag(attr *unix.Termios, name string) (*termFlag, termFlag) {
	switch name {
	case "IUCLC":
		return &attr.Iflag, unix.IUCLC
	case "IUTF8":
		return &attr.Iflag, unix.IUTF8
	case "XCASE":
		return &attr.Lflag, unix.XCASE
	case "OLCUC":
		return &attr.Oflag, unix.OLCUC
	}
	return nil, 0
}
