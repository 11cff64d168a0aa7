package process

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// limitDescriptors lowers RLIMIT_NOFILE so that about 40 more can be opened.
func limitDescriptors(t *testing.T, used int) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(used) + 40 //nolint:gosec // small
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) }
}

func highestDescriptor(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}

// When descriptors run out, starts fail cleanly and work again afterwards.
func TestOutOfDescriptors(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		before := currentUsage()
		restore := limitDescriptors(t, highestDescriptor(t)+1)
		var held []*os.File
		for free := 30; free >= 0; free-- { // the start fails at another place each time
			held = append(held, exhaust(t)...)
			for range min(free, len(held)) {
				_ = held[len(held)-1].Close()
				held = held[:len(held)-1]
			}
			if err := startAndEnd(s); err != nil {
				if e, ok := errors.AsType[*StartError](err); !ok || e.Code != CodeStartFailed {
					t.Errorf("with %d descriptors: %v", free, err)
				}
			}
		}
		for _, f := range held {
			_ = f.Close()
		}
		restore()
		settle(t, before)
		if err := startAndEnd(s); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// exhaust opens files until no descriptor is left.
func exhaust(t *testing.T) []*os.File {
	t.Helper()
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return held
		}
		held = append(held, f)
	}
}
