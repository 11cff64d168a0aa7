//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

const (
	suffixKill = "-kill"
	suffixKeep = "-keep"
)

// Leaf is the cgroup of one command and of everything it starts, also below
// cgroups that the command made inside. Its methods may be called concurrently
// until Release was called; after that none may be.
type Leaf struct {
	home *Home
	dir  string
	path string // as /proc/<pid>/cgroup shows it
	fd   int    // of dir, until Started; then -1
}

// NewLeaf makes an empty leaf. keep is the orphan policy that the next Home
// will find in its name.
func (h *Home) NewLeaf(keep bool) (*Leaf, error) {
	name := strconv.FormatUint(h.count.Add(1), 10) + suffixKill
	if keep {
		name = strings.TrimSuffix(name, suffixKill) + suffixKeep
	}
	dir := filepath.Join(h.dir, name)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) { // somebody tidied up while nothing ran
		_ = os.Mkdir(h.dir, 0o755)
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = os.Remove(dir)
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Leaf{home: h, dir: dir, path: filepath.Join(h.path, name), fd: fd}, nil
}

// FD returns the directory's descriptor for SysProcAttr.CgroupFD. It is open
// until Started is called.
func (l *Leaf) FD() int { return l.fd }

// Started closes the descriptor that the start needed. Calling it again does nothing.
func (l *Leaf) Started() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}

// Signal sends the signals in their order to every process of the leaf, and to
// those that appear meanwhile, once each.
func (l *Leaf) Signal(sigs ...syscall.Signal) error {
	const rounds = 10 // a tree that forks faster than this is for Kill
	var errs []error
	seen := make(map[int]bool)
	for range rounds {
		news := 0
		for _, pid := range processes(l.dir) {
			if seen[pid] {
				continue
			}
			seen[pid] = true
			news++
			errs = append(errs, procfs.Signal(pid, func() bool { return l.holds(pid) }, sigs...))
		}
		if news == 0 {
			break
		}
	}
	return errors.Join(errs...)
}

func (l *Leaf) holds(pid int) bool {
	path, err := pathOf(strconv.Itoa(pid))
	return err == nil && (path == l.path || strings.HasPrefix(path, l.path+"/"))
}

// Kill sends SIGKILL to everything in the leaf at once; the kernel sees to it
// that no fork escapes. They may take a moment to be gone: see AwaitEmpty.
func (l *Leaf) Kill() error { return kill(l.dir) }

// AwaitEmpty returns nil once nothing but zombies is in the leaf, or the
// context's error. It waits for the kernel's word, not by looking again.
func (l *Leaf) AwaitEmpty(ctx context.Context) error { return awaitEmpty(ctx, l.dir) }

// Release gives the leaf up: what still runs in it goes to this program's own
// cgroup, where nobody kills it later. If the kernel refuses that, it goes to a
// leaf with the policy keep.
func (l *Leaf) Release() error {
	l.Started()
	if os.Remove(l.dir) == nil { // nothing left, the usual case
		return nil
	}
	err := l.moveTo(l.home.own)
	if err != nil {
		err = l.moveAside(err)
	}
	return errors.Join(err, removeAll(l.dir))
}

func (l *Leaf) moveAside(cause error) error {
	aside, err := l.home.NewLeaf(true)
	if err != nil {
		return errors.Join(cause, err)
	}
	aside.Started()
	l.home.log.Warn("background processes stay in a cgroup of their own", "cgroup", aside.dir, "err", cause)
	return l.moveTo(aside.dir)
}

// moveTo moves every process to another cgroup until none is left. A child is
// born in its parent's cgroup, so each round leaves fewer that can fork here.
func (l *Leaf) moveTo(dir string) error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for tick := 10 * time.Millisecond; ; tick = min(2*tick, 100*time.Millisecond) {
		moveErr := moveAll(processes(l.dir), filepath.Join(dir, "cgroup.procs"))
		round, cancelRound := context.WithTimeout(ctx, tick)
		err := l.AwaitEmpty(round)
		cancelRound()
		switch {
		case err == nil:
			return nil
		case moveErr != nil:
			return moveErr
		case ctx.Err() != nil:
			return fmt.Errorf("%s does not become empty: %w", l.dir, ctx.Err())
		}
	}
}

func moveAll(pids []int, procs string) error {
	for _, pid := range pids {
		err := writeFile(procs, strconv.Itoa(pid))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("move process %d: %w", pid, err)
		}
	}
	return nil
}
