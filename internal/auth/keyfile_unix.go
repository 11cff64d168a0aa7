//go:build unix

package auth

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openNoWait keeps the opening of a FIFO from waiting for its other end.
const openNoWait = syscall.O_NONBLOCK

// userOnly is ssh's rule for a user's private key: others must not have access
// to a file of our own. What somebody else gave us is his business.
func userOnly(fi fs.FileInfo) error {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Getuid() {
		return noOthers(fi)
	}
	return nil
}

// ownerOnly is the rule for a host's private key: root's or our own, and nobody
// else has access.
func ownerOnly(fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("its owner is not known: %w", ErrExposed)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("uid %d owns it: %w", st.Uid, ErrExposed)
	}
	return noOthers(fi)
}

func noOthers(fi fs.FileInfo) error {
	if mode := fi.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("its mode is %04o: %w", mode, ErrExposed)
	}
	return nil
}

// syncDirectory makes the entries of a directory survive the loss of power.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
