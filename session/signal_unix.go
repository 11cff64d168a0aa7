//go:build unix

package session

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName is the name of a signal of this system, without SIG.
func signalName(sig syscall.Signal) (string, bool) {
	name, ok := strings.CutPrefix(unix.SignalName(sig), "SIG")
	return name, ok
}
