//go:build unix

package auth

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A FIFO would hang whoever opens it.
func TestFIFOIsNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenIdentity(path, nil)
	wantError(t, err, "not a regular file")
	_, err = LoadHostKey(path)
	wantError(t, err, "not a regular file")
}
