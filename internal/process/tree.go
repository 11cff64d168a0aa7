//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// tree is a command and everything it started, as far as a mode can see it.
// Its methods may be called concurrently until release.
type tree interface {
	// signal sends the signals in their order to every process of the tree.
	signal(sigs ...syscall.Signal) error
	// kill sends SIGKILL to all that is there now. What they forked meanwhile
	// may survive: the caller comes back until the tree is empty.
	kill() error
	// awaitEmpty returns nil once nothing but zombies is left, or the
	// context's error.
	awaitEmpty(ctx context.Context) error
	// release gives up the tree, which may hold running processes, and what it
	// took to hold it.
	release() error
}

// killPatience is how long SIGKILL may take. Only processes in an
// uninterruptible sleep need any time worth mentioning.
const killPatience = 10 * time.Second

// The interval of repeated looks: short at first, because most trees die at once.
const (
	firstTick = 10 * time.Millisecond
	lastTick  = 100 * time.Millisecond
)

// ladder ends a tree the way a terminal that goes away does, and then for
// certain: HUP and TERM, CONT so that what is stopped gets them, and KILL to
// what is left after grace or at the end of the context.
func ladder(ctx context.Context, t tree, grace time.Duration) error {
	// A process that may not be signaled (EPERM) will be met again by killAll.
	_ = t.signal(syscall.SIGHUP, syscall.SIGTERM, syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if t.awaitEmpty(ctx) == nil {
		return nil
	}
	return killAll(t)
}

// killAll kills until the tree is empty.
func killAll(t tree) error {
	ctx, cancel := context.WithTimeout(context.Background(), killPatience)
	defer cancel()
	for tick := firstTick; ; tick = min(2*tick, lastTick) {
		killErr := t.kill()
		round, cancelRound := context.WithTimeout(ctx, tick)
		err := t.awaitEmpty(round)
		cancelRound()
		if err == nil {
			return nil
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(err, killErr)
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%w for %v", ErrStillAlive, killPatience), killErr)
		}
	}
}

// awaitTicks asks empty again and again, less and less often, for trees whose
// end nothing announces.
func awaitTicks(ctx context.Context, empty func() (bool, error)) error {
	for tick := firstTick; ; tick = min(2*tick, lastTick) {
		if done, err := empty(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tick):
		}
	}
}
