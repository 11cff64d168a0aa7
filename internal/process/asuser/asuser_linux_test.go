package asuser

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

var nobody = Identity{UID: 65534, GID: 65534, Groups: []uint32{65534, 7007}}

// file makes a file below a directory that everybody may enter.
func file(t *testing.T, name string, mode os.FileMode, uid, gid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex") // t.TempDir is below a directory of root's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, []byte("text"), 0o600), os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRights(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		path string
		may  bool
	}{
		"root's own":              {file(t, "a", 0o600, 0, 0), false},
		"root's group":            {file(t, "b", 0o640, 0, 0), false},
		"everybody's":             {file(t, "c", 0o644, 0, 0), true},
		"the user's":              {file(t, "d", 0o600, 65534, 0), true},
		"the group's":             {file(t, "e", 0o040, 0, 65534), true},
		"a supplementary group's": {file(t, "f", 0o040, 0, 7007), true},
		"another's":               {file(t, "g", 0o600, 1, 1), false},
		"without a right":         {file(t, "h", 0, 65534, 65534), false},
	} {
		var err error
		if do := Do(nobody, func() { _, err = os.ReadFile(c.path) }); do != nil {
			t.Fatal(do)
		}
		if c.may && err != nil || !c.may && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThreadAlone(t *testing.T) {
	needRoot(t)
	secret := file(t, "secret", 0o600, 0, 0)
	own, err := unix.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	inside, checked := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- Do(nobody, func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("it is the main thread")
			}
			close(inside)
			<-checked
		})
	}()
	<-inside
	var wg sync.WaitGroup
	for range 50 { // on many threads, some of them new
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if _, err := os.ReadFile(secret); err != nil {
				t.Error(err)
			}
			if now, err := unix.Getgroups(); err != nil || !slices.Equal(now, own) {
				t.Errorf("groups %v, %v; want %v", now, err, own)
			}
		})
	}
	wg.Wait()
	close(checked)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), "Uid:\t0\t0\t0\t0\n") {
		t.Errorf("the process is not root any more: %v\n%s", err, status)
	}
}

func TestNoCapability(t *testing.T) {
	needRoot(t)
	var status []byte
	if err := Do(nobody, func() { status, _ = os.ReadFile("/proc/thread-self/status") }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t0\t0\t0\t65534\n", "Gid:\t0\t0\t0\t65534\n", "Groups:\t7007 65534 \n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

// The threads end: they are not given to goroutines that believe to be root.
func TestThreadsEnd(t *testing.T) {
	needRoot(t)
	secret := file(t, "secret", 0o600, 0, 0)
	for range 200 {
		if err := Do(nobody, func() {}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(secret); err != nil {
			t.Fatal(err)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) > 100 {
		t.Errorf("%d threads, %v", len(tasks), err)
	}
}

func BenchmarkDo(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	for b.Loop() {
		if err := Do(nobody, func() {}); err != nil {
			b.Fatal(err)
		}
	}
}
