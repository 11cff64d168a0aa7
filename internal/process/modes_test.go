//go:build unix

package process

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestApplyMode(t *testing.T) {
	attr := &unix.Termios{Cflag: unix.CS8}
	for _, mode := range []struct {
		name  string
		value uint32
	}{
		{"CS8", 0},
		{"CS7", 1},
		{"PARENB", 1},
		{"ISIG", 1},
		{"ISIG", 0},
		{"ECHO", 7},
		{"OPOST", 1},
		{"INLCR", 1},
		{"VEOF", 4},
		{"VSTOP", 255},
		{"VKILL", 1 << 20},
		{"TTY_OP_OSPEED", 9600},
		{"", 1},
	} {
		applyMode(attr, mode.name, mode.value)
	}
	if attr.Cflag != unix.CS7|unix.PARENB || attr.Lflag != unix.ECHO || attr.Oflag != unix.OPOST || attr.Iflag != unix.INLCR {
		t.Errorf("flags %+v", attr)
	}
	if attr.Cc[unix.VEOF] != 4 || attr.Cc[unix.VSTOP] != noChar || attr.Cc[unix.VKILL] != noChar {
		t.Errorf("characters %v", attr.Cc)
	}
}
