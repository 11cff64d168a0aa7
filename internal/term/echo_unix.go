//go:build linux || darwin || freebsd

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// NoEcho has a terminal not show what is typed, line by line and with its keys
// for signals as they are, until restore is called, which gives it the mode it
// had before. After the process was stopped and continued, again is to be
// called: the shell may have changed the mode meanwhile. It leaves the file's
// own mode alone.
func NoEcho(f *os.File) (again, restore func() error, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var saved unix.Termios
	set := func(attr *unix.Termios) error {
		var ioErr error
		err := conn.Control(func(fd uintptr) { ioErr = unix.IoctlSetTermios(int(fd), ioctlSetTermios, attr) })
		if err == nil {
			err = os.NewSyscallError("ioctl", ioErr)
		}
		return err
	}
	var ioErr error
	err = conn.Control(func(fd uintptr) {
		var attr *unix.Termios
		if attr, ioErr = unix.IoctlGetTermios(int(fd), ioctlGetTermios); ioErr == nil {
			saved = *attr
		}
	})
	if err == nil {
		err = os.NewSyscallError("ioctl", ioErr)
	}
	if err != nil {
		return nil, nil, err
	}
	quiet := saved
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ECHONL | unix.ICANON | unix.ISIG
	again = func() error { return set(&quiet) }
	return again, func() error { return set(&saved) }, again()
}
