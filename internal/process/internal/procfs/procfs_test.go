//go:build linux

package procfs

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const tail = " 20 0 3 0 4242 1 2 3 4 5\n"

func TestParse(t *testing.T) {
	const fields = "S 1 12 13 34816 12 4194560 1 2 3 4 5 6 7 8"
	want := Stat{Pid: 12, Parent: 1, Group: 12, Session: 13, State: 'S', Threads: 3, Start: 4242}
	for _, name := range []string{"sh", "a b", ") S 7 (", "x)\n(y", ""} {
		got, err := parse([]byte("12 (" + name + ") " + fields + tail))
		if err != nil || got != want {
			t.Errorf("name %q: %+v %v", name, got, err)
		}
	}
	for _, bad := range []string{
		"", "12", "12 (sh)", "12 (sh) S 1 12", "(sh) " + fields + tail, "x (sh) " + fields + tail,
		"12 )sh( " + fields + tail, "12 (sh) SS" + fields[1:] + tail,
		"12 (sh) " + strings.Replace(fields, "13", "x", 1) + tail, "12 (sh) " + fields + " 20 0 3 0 -1 1",
	} {
		if got, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is accepted as %+v", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("12 (a b) S 1 12 13 34816 12 4194560 1 2 3 4 5 6 7 8" + tail))
	if b, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(b)
	}
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parse(b); err != nil && s.Alive() && s.State == 'Z' && s.Threads < 2 {
			t.Errorf("%+v", s) // no panic is what counts
		}
	})
}

func TestAlive(t *testing.T) {
	for _, c := range []struct {
		stat Stat
		want bool
	}{
		{Stat{State: 'R', Threads: 1}, true},
		{Stat{State: 'D', Threads: 1}, true},
		{Stat{State: 'T', Threads: 1}, true},
		{Stat{State: 'Z', Threads: 1}, false},
		{Stat{State: 'Z', Threads: 2}, true}, // its first thread has ended, others go on
		{Stat{State: 'X', Threads: 0}, false},
	} {
		if got := c.stat.Alive(); got != c.want {
			t.Errorf("%+v: %v", c.stat, got)
		}
	}
}

func TestReadAndAll(t *testing.T) {
	self, err := Read(os.Getpid())
	if err != nil || self.Pid != os.Getpid() || self.Parent != os.Getppid() || !self.Alive() || self.Group != syscall.Getpgrp() {
		t.Errorf("%+v %v", self, err)
	}
	if _, err := Read(1 << 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such process: %v", err)
	}
	all, err := All()
	if err != nil || !slices.ContainsFunc(all, func(s Stat) bool { return s.Pid == self.Pid && s.Start == self.Start }) {
		t.Errorf("this process is not among %d, %v", len(all), err)
	}
}

func TestDescendants(t *testing.T) {
	all := []Stat{
		{Pid: 5, Parent: 4},
		{Pid: 4, Parent: 3},
		{Pid: 3, Parent: 1},
		{Pid: 6, Parent: 3},
		{Pid: 1, Parent: 0},
		{Pid: 2, Parent: 1},
		{Pid: 7, Parent: 8},
		{Pid: 8, Parent: 7}, // read while they changed
	}
	pids := func(list []Stat) (pids []int) {
		for _, s := range list {
			pids = append(pids, s.Pid)
		}
		slices.Sort(pids)
		return pids
	}
	for root, want := range map[int][]int{3: {4, 5, 6}, 5: nil, 1: {2, 3, 4, 5, 6}, 7: {8}, 99: nil} {
		if got := pids(Descendants(all, root)); !slices.Equal(got, want) {
			t.Errorf("below %d: %v, want %v", root, got, want)
		}
	}
}

func TestSignal(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := stat
	other.Start++ // the same pid, used again
	if err := other.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if now, err := Read(stat.Pid); err != nil || !now.Alive() {
		t.Errorf("the signal to another process hit this one: %+v %v", now, err)
	}
	if err := stat.Signal(syscall.Signal(999)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an impossible signal: %v", err)
	}
	if err := stat.Signal(syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v", cmd.ProcessState)
	}
	if err := stat.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
}
