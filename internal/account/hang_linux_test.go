package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// deadMount mounts a file system that never answers, like that of a server which
// is gone, for everybody and at a new directory. What waits for it comes back
// with an error when revive is called.
func deadMount(t *testing.T) (dir string, revive func()) {
	t.Helper()
	needRoot(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	dir = filepath.Join(openDir(t), "dead")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("rex", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		t.Skipf("cannot mount here: %v", err)
	}
	revive = sync.OnceFunc(func() { _ = unix.Close(fd) }) // the kernel ends the requests
	t.Cleanup(func() {
		revive()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, revive
}

// TestDeadMount: files on a file system that does not answer are given up in
// time, of one user only a few are waited for, and afterwards nothing is left.
func TestDeadMount(t *testing.T) {
	dir, revive := deadMount(t)
	before := descriptors(t)
	running := goleak.IgnoreCurrent()
	nobody := &Account{Name: "nobody", UID: 65534, GID: 65534, Groups: []int{65534}, Home: dir, Shell: "/bin/sh"}
	path := dir + "/.ssh/authorized_keys"
	var files Files
	short, cancel := context.WithCancel(t.Context())
	results := make(chan error, maxReads)
	for range maxReads - 1 {
		go func() { // until it is given up
			_, err := files.ReadFile(short, nobody, path, 100)
			results <- err
		}()
	}
	start := time.Now()
	_, err := files.ReadFile(t.Context(), nobody, path, 100)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < readTimeout || took > 10*readTimeout {
		t.Errorf("after %v: %v", took, err)
	}
	cancel()
	for range maxReads - 1 {
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if _, err := files.ReadFile(t.Context(), nobody, path, 100); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	if stacks := allStacks(); strings.Count(stacks, "onOwnThread") < maxReads {
		t.Errorf("they do not hang:\n%s", stacks)
	}
	revive()
	for end := time.Now().Add(10 * readTimeout); ; {
		if err = goleak.Find(running); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
	if after := descriptors(t); after != before-1 { // that of the mount
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if _, err := files.ReadFile(t.Context(), nobody, path, 100); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("afterwards: %v", err)
	}
}

func allStacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
