//go:build unix && !linux

package process

// closeOnExec: see the Linux version.
func closeOnExec() error { return markListed("/dev/fd") }
