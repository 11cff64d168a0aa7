//go:build unix

package asuser

import (
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
)

// needRoot skips a test that changes identities; CI has to run it.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case runtime.GOOS != "linux":
		t.Skip("threads have rights of their own on Linux only")
	case os.Getuid() != 0 && os.Getenv("CI") != "":
		t.Fatal("CI runs as root")
	case os.Getuid() != 0:
		t.Skip("needs root")
	}
}

func TestOwnIdentity(t *testing.T) {
	me := Identity{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	called := false
	if err := Do(me, func() { called = true }); err != nil || !called {
		t.Errorf("as myself: %v, called %v", err, called)
	}
}

// The id -1 leaves everything as it is: a root that took it for a user would stay root.
func TestNoIdentity(t *testing.T) {
	for _, id := range []Identity{{UID: math.MaxUint32, GID: 1}, {UID: 1, GID: math.MaxUint32}} {
		if err := Do(id, func() { t.Error("it was called") }); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("%v: %v", id, err)
		}
	}
}

func TestOthersNeedRoot(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs another user than root")
	}
	if err := Do(Identity{UID: uint32(os.Getuid()) + 1}, func() { t.Error("it was called") }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("as another: %v", err)
	}
}
