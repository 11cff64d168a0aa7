//go:build !unix

package session

import "syscall"

// signalName is the name of a signal of this system, without SIG.
func signalName(sig syscall.Signal) (string, bool) {
	name, ok := map[syscall.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT",
		syscall.SIGABRT: "ABRT", syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM",
	}[sig]
	return name, ok
}
