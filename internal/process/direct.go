//go:build unix

package process

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// runner is a running command together with whatever holds its tree. Its
// methods may be called concurrently.
type runner interface {
	pid() int
	wait() (State, error)
	signal(sig syscall.Signal, to Target) error
	// end and kill return when the tree is empty; then they have released
	// everything, as release does.
	end(ctx context.Context, grace time.Duration) error
	kill() error
	release() error
}

// direct runs a command as a child of this process.
type direct struct {
	child *child

	mu   sync.RWMutex // held for reading while the tree is in use
	gone bool         // the tree was released
	tree tree
}

func (d *direct) pid() int             { return d.child.pid }
func (d *direct) wait() (State, error) { return d.child.wait() }

func (d *direct) signal(sig syscall.Signal, to Target) error {
	if to != ToTree {
		return d.child.signal(to == ToGroup, sig)
	}
	return d.use(func(t tree) error { return t.signal(sig) })
}

// use calls f with the tree unless that was released.
func (d *direct) use(f func(tree) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.gone {
		return nil
	}
	return f(d.tree)
}

func (d *direct) end(ctx context.Context, grace time.Duration) error {
	return d.finish(func(t tree) error { return ladder(ctx, t, grace) })
}

func (d *direct) kill() error { return d.finish(killAll) }

func (d *direct) finish(empty func(tree) error) error {
	if err := d.use(empty); err != nil {
		return err
	}
	<-d.child.done // it is a zombie at most: this is a matter of scheduling
	return d.release()
}

func (d *direct) release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil
	}
	d.gone = true
	return d.tree.release()
}
