package transport

import (
	"slices"
	"sync"
)

const (
	// maxPending is how many connections may be in the middle of their login.
	maxPending = 1024
	// strangerPending is how many of them may come from one source that will
	// be refused anyway.
	strangerPending = 32
)

// A gate bounds the connections that have not logged in yet. Who comes is let
// in; if there are too many then, the oldest of the source with most of them
// is dropped. A newcomer is never the one at random, so a source that floods
// only drops its own.
type gate struct {
	max int

	mu      sync.Mutex
	pending int
	count   uint64               // of all tickets so far
	sources map[string][]*ticket // oldest first
}

// A ticket is the place of one connection in a gate.
type ticket struct {
	gate   *gate
	source string
	drop   func()
	number uint64
}

func newGate(most int) *gate {
	return &gate{max: most, sources: make(map[string][]*ticket)}
}

// ticket makes a ticket for a connection of source. drop is called when the
// connection has to make room, from whichever enter it happens in.
func (g *gate) ticket(source string, drop func()) *ticket {
	return &ticket{gate: g, source: source, drop: drop}
}

// enter takes the place; at most limit of the same source may be pending. The
// caller calls leave when the login is over, however it ended.
func (t *ticket) enter(limit int) {
	if victim := t.gate.admit(t, limit); victim != nil {
		victim.drop()
	}
}

func (g *gate) admit(t *ticket, limit int) (victim *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	t.number = g.count
	g.sources[t.source] = append(g.sources[t.source], t)
	g.pending++
	switch {
	case len(g.sources[t.source]) > limit:
		victim = g.sources[t.source][0]
	case g.pending > g.max:
		victim = g.oldestOfLargestLocked()
	default:
		return nil
	}
	g.removeLocked(victim)
	return victim
}

// leave gives the place back. It may be called more than once.
func (t *ticket) leave() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.gate.removeLocked(t)
}

func (g *gate) removeLocked(t *ticket) {
	list := g.sources[t.source]
	i := slices.Index(list, t)
	if i < 0 {
		return
	}
	g.pending--
	if len(list) == 1 {
		delete(g.sources, t.source)
		return
	}
	g.sources[t.source] = slices.Delete(list, i, i+1)
}

// oldestOfLargestLocked is the oldest ticket of the source that has most. Of
// sources that have equally many it is the oldest of all, hence not the one
// that just came.
func (g *gate) oldestOfLargestLocked() *ticket {
	var victim *ticket
	most := 0
	for _, list := range g.sources {
		if len(list) > most || len(list) == most && list[0].number < victim.number {
			victim, most = list[0], len(list)
		}
	}
	return victim
}
