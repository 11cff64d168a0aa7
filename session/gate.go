package session

import (
	"container/list"
	"context"
	"sync"
)

// A gate lets at most limit holders in at once, first come first served. Its
// zero value lets nobody in until setLimit.
type gate struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiters list.List // of chan struct{}, closed when let in
}

// enter waits for a place until ctx ends or stop is closed.
func (g *gate) enter(ctx context.Context, stop <-chan struct{}) error {
	g.mu.Lock()
	if g.used < g.limit && g.waiters.Len() == 0 {
		g.used++
		g.mu.Unlock()
		return nil
	}
	in := make(chan struct{})
	place := g.waiters.PushBack(in)
	g.mu.Unlock()

	select {
	case <-in:
		return nil
	case <-ctx.Done():
		g.giveUp(place, in)
		return ctx.Err()
	case <-stop:
		g.giveUp(place, in)
		return ErrClosed
	}
}

// giveUp leaves the queue; a place that was given meanwhile goes to the next.
func (g *gate) giveUp(place *list.Element, in chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-in:
		g.used--
		g.admitLocked()
	default:
		g.waiters.Remove(place)
	}
}

// leave gives a place back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	g.admitLocked()
}

// setLimit changes how many may be in. Those who are in stay.
func (g *gate) setLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = n
	g.admitLocked()
}

func (g *gate) admitLocked() {
	for g.used < g.limit && g.waiters.Len() > 0 {
		first := g.waiters.Front()
		g.waiters.Remove(first)
		g.used++
		close(first.Value.(chan struct{}))
	}
}
