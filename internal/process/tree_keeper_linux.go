package process

import (
	"context"
	"errors"
	"syscall"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// descendants is the tree below a keeper, seen from inside it. Being a
// subreaper makes it complete: no process can leave it.
type descendants struct {
	root  int
	empty chan struct{} // closed once the keeper has no child left
}

func (d *descendants) members() ([]procfs.Stat, error) {
	all, err := procfs.All()
	if err != nil {
		return nil, err
	}
	var members []procfs.Stat
	for _, s := range procfs.Descendants(all, d.root) {
		if s.Alive() {
			members = append(members, s)
		}
	}
	return members, nil
}

func (d *descendants) signal(sigs ...syscall.Signal) error { return signalAll(d.members, sigs...) }
func (d *descendants) kill() error                         { return d.signal(syscall.SIGKILL) }
func (d *descendants) release() error                      { return nil }

func (d *descendants) awaitEmpty(ctx context.Context) error {
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signalAll signals each of the members once, and looks again until there is
// no new one.
func signalAll(members func() ([]procfs.Stat, error), sigs ...syscall.Signal) error {
	const rounds = 10 // a tree that forks faster than this is for kill
	type name struct {
		pid   int
		start uint64
	}
	seen := make(map[name]bool)
	var errs []error
	for range rounds {
		list, err := members()
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		news := 0
		for _, s := range list {
			if n := (name{s.Pid, s.Start}); !seen[n] {
				seen[n] = true
				news++
				errs = append(errs, s.Signal(sigs...))
			}
		}
		if news == 0 {
			break
		}
	}
	return errors.Join(errs...)
}
