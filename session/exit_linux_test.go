package session_test

import "golang.org/x/sys/unix"

// exit ends this process at once: a keeper built with the race detector would otherwise sleep for a second.
func exit(code int) {
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
}
