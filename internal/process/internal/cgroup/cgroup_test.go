//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func openHome(t *testing.T) *Home {
	t.Helper()
	h, err := Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Skipf("no cgroups here: %v", err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(h.Dir()); err == nil {
			t.Errorf("%s is left", h.Dir())
		}
	})
	return h
}

func newLeaf(t *testing.T, h *Home) *Leaf {
	t.Helper()
	leaf, err := h.NewLeaf(false)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// inside starts a shell script in the leaf and waits for its first line.
func inside(t *testing.T, leaf *Leaf, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: leaf.FD()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func awaitLeaf(t *testing.T, leaf *Leaf, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return leaf.AwaitEmpty(ctx)
}

// nested is a script that puts itself into a cgroup below its own.
func nested(leaf *Leaf) string {
	return fmt.Sprintf("mkdir -p %[1]s/a/b && echo $$ >%[1]s/a/b/cgroup.procs && (sleep 100 & sleep 100 & echo ready; wait)", leaf.dir)
}

func TestKill(t *testing.T) {
	h := openHome(t)
	leaf := newLeaf(t, h)
	cmd := inside(t, leaf, nested(leaf))
	if n := len(processes(leaf.dir)); n < 3 {
		t.Errorf("%d processes in the leaf, want 3 or more", n)
	}
	if err := awaitLeaf(t, leaf, 20*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a full leaf: %v", err)
	}
	if err := leaf.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := awaitLeaf(t, leaf, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := leaf.Release(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestSignal(t *testing.T) {
	h := openHome(t)
	leaf, other := newLeaf(t, h), newLeaf(t, h)
	cmd := inside(t, leaf, "sleep 100 & sleep 100 & echo ready; wait")
	bystander := inside(t, other, "echo ready; exec sleep 100")
	if err := leaf.Signal(syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := awaitLeaf(t, leaf, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if leaf.holds(bystander.Process.Pid) || !other.holds(bystander.Process.Pid) {
		t.Error("the leaves do not know their processes")
	}
	_ = bystander.Process.Kill()
	_ = bystander.Wait()
	if err := errors.Join(leaf.Release(), other.Release()); err != nil {
		t.Error(err)
	}
}

func TestRelease(t *testing.T) {
	h := openHome(t)
	for _, own := range []string{h.own, "/no/such/cgroup"} { // the second makes it stay in a leaf
		moving := &Home{own: own, dir: h.dir, path: h.path, log: h.log}
		moving.count.Store(h.count.Add(100))
		leaf := newLeaf(t, moving)
		cmd := inside(t, leaf, nested(leaf))
		if err := leaf.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(leaf.dir); err == nil {
			t.Errorf("%s is left", leaf.dir)
		}
		path, err := pathOf(fmt.Sprint(cmd.Process.Pid))
		if err != nil || strings.HasSuffix(path, suffixKill) || strings.HasPrefix(path, h.path) != (own != h.own) {
			t.Errorf("the process is in %q, %v", path, err)
		}
		for _, pid := range childrenOf(t, cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = cmd.Wait()
	}
	waitClosed(t, h)
}

// waitClosed closes the home when what was released into it is gone.
func waitClosed(t *testing.T, h *Home) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(h.dir); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not become empty", h.dir)
		}
	}
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{pid}
	for _, field := range strings.Fields(string(b)) {
		var child int
		if _, err := fmt.Sscan(field, &child); err == nil {
			pids = append(pids, childrenOf(t, child)...)
		}
	}
	return pids
}

// What a dead predecessor left is ended or kept by its policy; what belongs to
// somebody alive, or to another pid namespace, is left alone.
func TestBury(t *testing.T) {
	h, self := privateHome(t)
	fake := func(o owner) *Home {
		dir := filepath.Join(h.own, o.name(7))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		return &Home{own: h.own, dir: dir, path: filepath.Join(filepath.Dir(h.path), o.name(7)), log: h.log}
	}
	dead := owner{self.pid, self.start - 1, self.namespace} // the pid was used again: by us
	foreign := owner{1 << 22, 1, "1"}
	alive := self

	var cmds []*exec.Cmd
	leaves := map[string]*Leaf{}
	for name, o := range map[string]owner{"dead": dead, "foreign": foreign, "alive": alive} {
		for _, keep := range []bool{false, true} {
			leaf, err := fakeLeaf(t, fake, leaves, name, o, keep)
			if err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, inside(t, leaf, nested(leaf)))
		}
	}
	h.bury(self)
	for name, leaf := range leaves {
		n := len(processes(leaf.dir))
		if want := name != "dead false"; (n > 0) != want {
			t.Errorf("%s: %d processes are left", name, n)
		}
		_ = leaf.Kill()
		if err := awaitLeaf(t, leaf, 10*time.Second); err != nil {
			t.Error(err)
		}
	}
	for _, cmd := range cmds {
		_ = cmd.Wait()
	}
	for _, leaf := range leaves {
		if err := leaf.Release(); err != nil {
			t.Error(err)
		}
	}
	h.bury(self) // now the dead one's home is empty
	if _, err := os.Stat(filepath.Join(h.own, dead.name(7))); err == nil {
		t.Error("the empty home of a dead predecessor is left")
	}
}

// privateHome returns a Home where no other program's would look for leftovers.
func privateHome(t *testing.T) (*Home, owner) {
	t.Helper()
	outer := openHome(t)
	self, err := currentOwner()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(outer.dir, "private")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := openIn(own, filepath.Join(outer.path, "private"), self, outer.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, self
}

func fakeLeaf(t *testing.T, fake func(owner) *Home, leaves map[string]*Leaf, name string, o owner, keep bool) (*Leaf, error) {
	t.Helper()
	if first, ok := leaves[name+" false"]; ok {
		leaf, err := first.home.NewLeaf(keep)
		leaves[name+" true"] = leaf
		return leaf, err
	}
	leaf, err := fake(o).NewLeaf(keep)
	leaves[name+" false"] = leaf
	return leaf, err
}

// A zombie is no reason to wait or to keep a cgroup.
func TestZombie(t *testing.T) {
	h := openHome(t)
	leaf := newLeaf(t, h)
	cmd := inside(t, leaf, "echo ready; exit 3")
	if err := awaitLeaf(t, leaf, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := leaf.Release(); err != nil {
		t.Error(err)
	}
	if e, ok := errors.AsType[*exec.ExitError](cmd.Wait()); !ok || e.ExitCode() != 3 {
		t.Errorf("%v", cmd.ProcessState)
	}
	if err := awaitEmpty(t.Context(), leaf.dir); err != nil {
		t.Errorf("a cgroup that is gone is not empty: %v", err)
	}
}

func TestOpenSaysWhy(t *testing.T) {
	self, err := currentOwner()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := openIn(filepath.Join(dir, "none"), "/", self, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "cgroup.procs") {
		t.Errorf("a missing directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir, "/", self, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "cgroup.kill") {
		t.Errorf("no cgroup: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}
