package process

import (
	"context"
	"log/slog"
	"syscall"

	"github.com/rexec/rex/internal/process/internal/cgroup"
)

// cgroupBackend starts every command in a cgroup of its own.
type cgroupBackend struct {
	home   *cgroup.Home
	shield *oomShield
}

func openCgroups(log *slog.Logger, shield *oomShield) (backend, string, error) {
	home, err := cgroup.Open(log)
	if err != nil {
		return nil, "", err
	}
	return cgroupBackend{home, shield}, home.Dir(), nil
}

func (b cgroupBackend) start(_ context.Context, spec *Spec, std *stdio) (runner, error) {
	leaf, err := b.home.NewLeaf(spec.Keep)
	if err != nil {
		return nil, startError(CodeStartFailed, err)
	}
	l, err := newLaunch(spec, std.files(), std.term != nil)
	if err != nil {
		_ = leaf.Release() // it is empty
		return nil, err
	}
	l.shield = b.shield
	l.sys.UseCgroupFD = true
	l.sys.CgroupFD = leaf.FD()
	child, err := l.startWatched()
	if err != nil {
		_ = leaf.Release()
		return nil, err
	}
	leaf.Started()
	return &direct{child: child, tree: cgroupTree{leaf}}, nil
}

func (b cgroupBackend) close() error { return b.home.Close() }

type cgroupTree struct{ leaf *cgroup.Leaf }

func (t cgroupTree) signal(sigs ...syscall.Signal) error  { return t.leaf.Signal(sigs...) }
func (t cgroupTree) kill() error                          { return t.leaf.Kill() }
func (t cgroupTree) awaitEmpty(ctx context.Context) error { return t.leaf.AwaitEmpty(ctx) }
func (t cgroupTree) release() error                       { return t.leaf.Release() }
