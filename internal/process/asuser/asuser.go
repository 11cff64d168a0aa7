//go:build unix

package asuser

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// Identity is a user by numbers.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary ones; empty means none, never this process's
}

// ErrNoIdentity is for the id -1, with which the kernel's calls mean "as it is".
var ErrNoIdentity = errors.New("4294967295 is no user or group id")

// Do calls f, whose system calls have that user's rights to files, and returns
// when f has returned. If it returns an error, f was not called.
//
// A process that already is that user, by its effective user id, calls f as it
// is; so does root for root. Any other process than root's gets
// [os.ErrPermission]. Root on other systems than Linux gets
// [errors.ErrUnsupported], because threads there have no rights of their own.
//
// f runs on a thread of its own that ends with it; a thread that hangs in the
// kernel, as on a dead mount, hangs together with Do. f must start neither
// goroutines, which would have root's rights, nor processes, which could get
// them back. The user can neither signal nor trace the thread, as it could one
// that had become that user altogether.
func Do(id Identity, f func()) error {
	if id.UID == math.MaxUint32 || id.GID == math.MaxUint32 {
		return ErrNoIdentity
	}
	switch uint32(os.Geteuid()) {
	case id.UID:
		f()
		return nil
	case 0:
		if err := onOwnThread(id, f); err != nil {
			return fmt.Errorf("act as user %d: %w", id.UID, err)
		}
		return nil
	}
	return fmt.Errorf("act as user %d: %w", id.UID, os.ErrPermission)
}
