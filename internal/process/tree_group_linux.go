package process

import (
	"context"
	"errors"
	"syscall"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// sessionTree is the part of a tree that can be found by looking: the members
// of the command's session and its descendants, as far as their parents live.
// A child that called setsid and lost its parent is not found.
type sessionTree struct {
	pid   int
	start uint64 // of the command, as in procfs.Stat
	child *child // the command if it is our child, else nil
}

func newGroupTree(c *child) tree {
	return sessionTree{pid: c.pid, start: startOf(c.pid), child: c}
}

// startOf returns when a process started that cannot be reaped meanwhile; 0
// without a readable /proc.
func startOf(pid int) uint64 {
	stat, err := procfs.Read(pid)
	if err != nil {
		return 0
	}
	return stat.Start
}

// members returns the live processes of the tree. The pid, and with it the
// session's id, may belong to another process once the command was reaped and
// its session is empty; then nothing is ours any more.
func (t sessionTree) members() ([]procfs.Stat, error) {
	all, err := procfs.All()
	if err != nil {
		return nil, err
	}
	var members []procfs.Stat
	seen := make(map[int]bool)
	for _, s := range all {
		if s.Pid == t.pid && s.Start != t.start {
			return nil, nil // the pid was used again
		}
		if s.Session == t.pid && s.Alive() {
			members = append(members, s)
			seen[s.Pid] = true
		}
	}
	for _, s := range procfs.Descendants(all, t.pid) {
		if s.Alive() && !seen[s.Pid] {
			members = append(members, s)
		}
	}
	return members, nil
}

func (t sessionTree) signal(sigs ...syscall.Signal) error {
	members, err := t.members()
	return errors.Join(err, signalEach(members, sigs...))
}

func (t sessionTree) kill() error {
	if t.child != nil { // all of the group at one moment: no fork gets past that
		_ = t.child.signal(true, syscall.SIGKILL)
	}
	return t.signal(syscall.SIGKILL)
}

func (t sessionTree) awaitEmpty(ctx context.Context) error {
	return awaitTicks(ctx, func() (bool, error) {
		members, err := t.members()
		return len(members) == 0, err
	})
}

func (t sessionTree) release() error { return nil }

// signalEach signals every process it can and returns what failed.
func signalEach(list []procfs.Stat, sigs ...syscall.Signal) error {
	var errs []error
	for _, s := range list {
		errs = append(errs, s.Signal(sigs...))
	}
	return errors.Join(errs...)
}
