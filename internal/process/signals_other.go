//go:build unix && !linux

package process

import (
	"os"
	"os/signal"
	"syscall"
)

// Real-time signals are Linux's alone here: darwin has none.
const (
	realtimeMin = 0
	realtimeMax = -1
)

// withEmptyMask runs start with the mask that the runtime gives a child.
func withEmptyMask(start func() error) error { return start() }

// catchIgnored: see the Linux version. Only what os/signal knows of is caught.
func catchIgnored() (undo func(), err error) {
	sink := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(sink, sig)
		}
	}
	return func() { signal.Stop(sink) }, nil
}
