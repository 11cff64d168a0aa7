//go:build darwin || freebsd

package integration

import (
	"testing"

	"golang.org/x/sys/unix"
)

func termios(t *testing.T, fd int) *unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
