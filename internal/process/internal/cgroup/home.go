//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// Home is the directory of one spawner. Its methods may be called concurrently.
type Home struct {
	own   string // directory of the cgroup this program runs in
	dir   string // the home itself
	path  string // the home as /proc/<pid>/cgroup shows it
	log   *slog.Logger
	count atomic.Uint64 // numbers the leaves
}

// Open makes a Home below this program's own cgroup, after it tried everything
// that commands will need there. It then ends what dead predecessors left: see
// [Home.bury]. The error says why cgroups cannot be used here.
func Open(log *slog.Logger) (*Home, error) {
	dirs, path, err := ownDirs()
	if err != nil {
		return nil, err
	}
	self, err := currentOwner()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, own := range dirs {
		h, err := openIn(own, path, self, log)
		if err == nil {
			h.bury(self)
			return h, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func openIn(own, path string, self owner, log *slog.Logger) (*Home, error) {
	// Commands are born below own, but leave for it on Release.
	if err := unix.Access(filepath.Join(own, "cgroup.procs"), unix.W_OK); err != nil {
		return nil, fmt.Errorf("%s/cgroup.procs: %w", own, err)
	}
	name, err := makeHome(own, self)
	if err != nil {
		return nil, err
	}
	h := &Home{own: own, dir: filepath.Join(own, name), path: filepath.Join(path, name), log: log}
	if err := h.probe(); err != nil {
		_ = os.Remove(h.dir) // it is empty; if it stays, the next spawner removes it
		return nil, err
	}
	return h, nil
}

func makeHome(own string, self owner) (string, error) {
	for n := 0; ; n++ {
		name := self.name(n)
		err := os.Mkdir(filepath.Join(own, name), 0o755)
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

// probe tries a leaf. A start of the empty program name gets as far as
// execve(2), which says ENOENT, only if the kernel could put the child there.
func (h *Home) probe() error {
	leaf, err := h.NewLeaf(false)
	if err != nil {
		return err
	}
	defer leaf.Release() // it is empty
	if err := unix.Access(filepath.Join(leaf.dir, "cgroup.kill"), unix.W_OK); err != nil {
		return fmt.Errorf("%s/cgroup.kill: %w", leaf.dir, err)
	}
	attr := &syscall.ProcAttr{Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: leaf.FD()}}
	if _, err := syscall.ForkExec("", []string{""}, attr); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("start in a cgroup: %w", err)
	}
	return nil
}

// Dir returns the home's directory, for the log.
func (h *Home) Dir() string { return h.dir }

// Close removes the home if no command of it runs any more. What still runs
// is left alone, and to the policies of the next Home. Calling it again does
// what could not be done before.
func (h *Home) Close() error {
	leaves, _ := subdirs(h.dir)
	for _, leaf := range leaves {
		_ = os.Remove(leaf) // fails if it is in use, which is right
	}
	err := os.Remove(h.dir)
	for _, fine := range []error{fs.ErrNotExist, unix.EBUSY, unix.ENOTEMPTY} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// bury goes through the homes beside this one. Of those whose program is dead
// it kills the leaves with the policy kill, leaves those with the policy keep
// alone, and removes what is empty.
func (h *Home) bury(self owner) {
	homes, err := subdirs(h.own)
	if err != nil {
		h.log.Warn("cannot look for leftovers of dead predecessors", "dir", h.own, "err", err)
		return
	}
	for _, dir := range homes {
		other, ok := parseHome(filepath.Base(dir))
		if !ok || other.namespace != self.namespace || other.running() {
			continue
		}
		h.buryHome(dir)
	}
}

func (h *Home) buryHome(dir string) {
	leaves, err := subdirs(dir)
	if err != nil {
		return // somebody else buries it too
	}
	for _, leaf := range leaves {
		if !strings.HasSuffix(leaf, suffixKill) {
			_ = os.Remove(leaf)
			continue
		}
		if err := killAndRemove(leaf); err != nil {
			h.log.Warn("cannot end the commands of a dead predecessor", "cgroup", leaf, "err", err)
		}
	}
	if os.Remove(dir) == nil {
		h.log.Info("removed the cgroups of a dead predecessor", "cgroup", dir)
	}
}

// owner names the process a home belongs to so that it is never mistaken for
// another one: pids are used again, and the same pid means another process in
// another pid namespace.
type owner struct {
	pid       int
	start     uint64
	namespace string
}

func currentOwner() (owner, error) {
	stat, err := procfs.Read(os.Getpid())
	if err != nil {
		return owner{}, err
	}
	ns, err := os.Readlink("/proc/self/ns/pid") // pid:[4026531836]
	if err != nil {
		return owner{}, err
	}
	return owner{stat.Pid, stat.Start, strings.Trim(ns, "pid:[]")}, nil
}

func (o owner) running() bool {
	stat, err := procfs.Read(o.pid)
	return err == nil && stat.Start == o.start && stat.Alive()
}

const homePrefix = "rex"

func (o owner) name(n int) string {
	return fmt.Sprintf("%s.%d.%d.%s.%d", homePrefix, o.pid, o.start, o.namespace, n)
}

// parseHome undoes owner.name.
func parseHome(name string) (owner, bool) {
	f := strings.Split(name, ".")
	if len(f) != 5 || f[0] != homePrefix {
		return owner{}, false
	}
	pid, err1 := strconv.Atoi(f[1])
	start, err2 := strconv.ParseUint(f[2], 10, 64)
	n, err3 := strconv.Atoi(f[4])
	o := owner{pid, start, f[3]}
	// Only what name makes is a home: no signs, no leading zeros.
	return o, errors.Join(err1, err2, err3) == nil && pid > 0 && o.name(n) == name
}

// subdirs returns the directories in dir.
func subdirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs, err
}
