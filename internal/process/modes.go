//go:build unix

package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// setModes applies terminal modes under their RFC 4254 section 8 (and RFC 8160)
// names. Names that this system has not, and the line speeds, are ignored.
func setModes(fd int, modes map[string]uint32) error {
	if len(modes) == 0 {
		return nil
	}
	attr, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil {
		return os.NewSyscallError("tcgetattr", err)
	}
	for name, value := range modes {
		applyMode(attr, name, value)
	}
	return os.NewSyscallError("tcsetattr", unix.IoctlSetTermios(fd, ioctlSetTermios, attr))
}

func applyMode(attr *unix.Termios, name string, value uint32) {
	if index, ok := modeChar(name); ok {
		attr.Cc[index] = byte(value)
		if value > 0xfe { // RFC 4254: 255 disables the character
			attr.Cc[index] = noChar
		}
		return
	}
	flags, bit := modeFlag(attr, name)
	switch {
	case flags == nil:
	case name == "CS7" || name == "CS8":
		if value != 0 {
			*flags = *flags&^unix.CSIZE | bit
		}
	case value != 0:
		*flags |= bit
	default:
		*flags &^= bit
	}
}

func modeChar(name string) (index int, ok bool) {
	index, ok = map[string]int{
		"VINTR": unix.VINTR, "VQUIT": unix.VQUIT, "VERASE": unix.VERASE, "VKILL": unix.VKILL,
		"VEOF": unix.VEOF, "VEOL": unix.VEOL, "VEOL2": unix.VEOL2, "VSTART": unix.VSTART,
		"VSTOP": unix.VSTOP, "VSUSP": unix.VSUSP, "VREPRINT": unix.VREPRINT,
		"VWERASE": unix.VWERASE, "VLNEXT": unix.VLNEXT, "VDISCARD": unix.VDISCARD,
	}[name]
	if !ok {
		return systemChar(name)
	}
	return index, true
}

// modeFlag returns the word of attr that holds the flag, and its bit.
func modeFlag(attr *unix.Termios, name string) (*termFlag, termFlag) {
	words := []struct {
		flags *termFlag
		bits  map[string]termFlag
	}{
		{&attr.Iflag, map[string]termFlag{
			"IGNPAR": unix.IGNPAR, "PARMRK": unix.PARMRK, "INPCK": unix.INPCK, "ISTRIP": unix.ISTRIP,
			"INLCR": unix.INLCR, "IGNCR": unix.IGNCR, "ICRNL": unix.ICRNL, "IXON": unix.IXON,
			"IXANY": unix.IXANY, "IXOFF": unix.IXOFF, "IMAXBEL": unix.IMAXBEL,
		}},
		{&attr.Lflag, map[string]termFlag{
			"ISIG": unix.ISIG, "ICANON": unix.ICANON, "ECHO": unix.ECHO, "ECHOE": unix.ECHOE,
			"ECHOK": unix.ECHOK, "ECHONL": unix.ECHONL, "NOFLSH": unix.NOFLSH, "TOSTOP": unix.TOSTOP,
			"IEXTEN": unix.IEXTEN, "ECHOCTL": unix.ECHOCTL, "ECHOKE": unix.ECHOKE, "PENDIN": unix.PENDIN,
		}},
		{&attr.Oflag, map[string]termFlag{
			"OPOST": unix.OPOST, "ONLCR": unix.ONLCR, "OCRNL": unix.OCRNL, "ONOCR": unix.ONOCR, "ONLRET": unix.ONLRET,
		}},
		{&attr.Cflag, map[string]termFlag{
			"CS7": unix.CS7, "CS8": unix.CS8, "PARENB": unix.PARENB, "PARODD": unix.PARODD,
		}},
	}
	for _, w := range words {
		if bit, ok := w.bits[name]; ok {
			return w.flags, bit
		}
	}
	return systemFlag(attr, name)
}
