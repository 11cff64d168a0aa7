package integration

import (
	"testing"

	"golang.org/x/sys/unix"
)

func termios(t *testing.T, fd int) *unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
