//go:build unix

package process

import "context"

// groupBackend starts commands with nothing to hold them but what every Unix
// has: their process group and session.
type groupBackend struct{ shield *oomShield }

func (b groupBackend) start(_ context.Context, spec *Spec, std *stdio) (runner, error) {
	l, err := newLaunch(spec, std.files(), std.term != nil)
	if err != nil {
		return nil, err
	}
	l.shield = b.shield
	child, pidfd, err := l.start()
	if err != nil {
		return nil, err
	}
	tree := newGroupTree(child) // before it can be reaped
	go child.watch(pidfd)
	return &direct{child: child, tree: tree}, nil
}

func (groupBackend) close() error { return nil }
