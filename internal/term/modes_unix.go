//go:build linux || darwin || freebsd

package term

import (
	"maps"
	"os"

	"golang.org/x/sys/unix"
)

// Modes returns the modes of a terminal, such as the key that erases and
// whether input is UTF-8, by their names in RFC 4254 section 8 and RFC 8160 in
// lower case; a key that is off is 255. It returns nil if f is no terminal.
func Modes(f *os.File) map[string]uint32 {
	if f == nil {
		return nil
	}
	attr, err := unix.IoctlGetTermios(int(f.Fd()), ioctlGetTermios)
	if err != nil {
		return nil
	}
	modes := make(map[string]uint32)
	for name, index := range keys() {
		modes[name] = uint32(attr.Cc[index])
		if attr.Cc[index] == noKey {
			modes[name] = 255
		}
	}
	addFlags(modes, uint64(attr.Iflag), map[string]uint64{
		"ignpar": unix.IGNPAR, "parmrk": unix.PARMRK, "inpck": unix.INPCK, "istrip": unix.ISTRIP, "inlcr": unix.INLCR,
		"igncr": unix.IGNCR, "icrnl": unix.ICRNL, "ixon": unix.IXON, "ixany": unix.IXANY, "ixoff": unix.IXOFF, "imaxbel": unix.IMAXBEL,
	})
	addFlags(modes, uint64(attr.Lflag), map[string]uint64{
		"isig": unix.ISIG, "icanon": unix.ICANON, "echo": unix.ECHO, "echoe": unix.ECHOE, "echok": unix.ECHOK, "echonl": unix.ECHONL,
		"noflsh": unix.NOFLSH, "tostop": unix.TOSTOP, "iexten": unix.IEXTEN, "echoctl": unix.ECHOCTL, "echoke": unix.ECHOKE,
	})
	addFlags(modes, uint64(attr.Oflag), map[string]uint64{
		"opost": unix.OPOST, "onlcr": unix.ONLCR, "ocrnl": unix.OCRNL, "onocr": unix.ONOCR, "onlret": unix.ONLRET,
	})
	addSystemFlags(modes, attr)
	return modes
}

func addFlags(modes map[string]uint32, word uint64, bits map[string]uint64) {
	for name, bit := range bits {
		modes[name] = 0
		if word&bit != 0 {
			modes[name] = 1
		}
	}
}

// keys are the places of the special characters.
func keys() map[string]int {
	all := map[string]int{
		"vintr": unix.VINTR, "vquit": unix.VQUIT, "verase": unix.VERASE, "vkill": unix.VKILL, "veof": unix.VEOF, "veol": unix.VEOL,
		"veol2": unix.VEOL2, "vstart": unix.VSTART, "vstop": unix.VSTOP, "vsusp": unix.VSUSP, "vreprint": unix.VREPRINT,
		"vwerase": unix.VWERASE, "vlnext": unix.VLNEXT, "vdiscard": unix.VDISCARD,
	}
	maps.Copy(all, systemKeys())
	return all
}
