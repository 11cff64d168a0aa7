//go:build linux || darwin || freebsd

package service

import (
	"fmt"
	"sync"
	"time"
)

// Limits bound what clients can take. Of each, 0 is the default and a negative
// value is none.
type Limits struct {
	// Instances may run at once, PerSource of them for one source. 0 is 256, and 64.
	Instances, PerSource int
	// Idle is how long an instance may go on without a byte moving in either
	// direction, be it because nobody sends or because nobody reads. 0 is 10 min.
	Idle time.Duration
	// Total is how long an instance may run. 0 is none.
	Total time.Duration
	// Input and Output are how many bytes a client may send, and the program may
	// answer. 0 is none.
	Input, Output int64
}

// The defaults of Limits.
const (
	DefaultInstances = 256
	DefaultPerSource = 64
	DefaultIdle      = 10 * time.Minute
)

// withDefaults replaces what is 0 by the default, and then no limit by 0.
func (l Limits) withDefaults() Limits {
	return Limits{
		Instances: limit(l.Instances, DefaultInstances),
		PerSource: limit(l.PerSource, DefaultPerSource),
		Idle:      limit(l.Idle, DefaultIdle),
		Total:     limit(l.Total, 0),
		Input:     limit(l.Input, 0),
		Output:    limit(l.Output, 0),
	}
}

func limit[T int | int64 | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return max(value, 0)
}

// Linger is how long the rest of a client's input is read and discarded once
// the answer is sent. Idle is the time without a byte, Total that in all. 0 is
// 2 s, and 30 s. A negative Idle is not at all, a negative Total no bound.
type Linger struct {
	Idle, Total time.Duration
}

// The defaults of Linger.
const (
	DefaultLingerIdle  = 2 * time.Second
	DefaultLingerTotal = 30 * time.Second
)

func (l Linger) withDefaults() Linger {
	return Linger{Idle: limit(l.Idle, DefaultLingerIdle), Total: limit(l.Total, DefaultLingerTotal)}
}

// defaultDrain is that of Service.Drain.
const defaultDrain = 5 * time.Second

// A LimitError says that all places are taken.
type LimitError struct {
	PerSource bool // those of this source; otherwise those of the service
	Limit     int
}

func (e *LimitError) Error() string {
	if e.PerSource {
		return fmt.Sprintf("%d instances run for this source already", e.Limit)
	}
	return fmt.Sprintf("%d instances run already", e.Limit)
}

// A gate counts the instances that run at once.
type gate struct {
	limits Limits // 0: none

	mu      sync.Mutex
	all     int
	sources map[string]int
}

func newGate(l Limits) *gate { return &gate{limits: l, sources: make(map[string]int)} }

// enter takes a place; leave, which may be called again, gives it back.
func (g *gate) enter(source string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case full(g.all, g.limits.Instances):
		return nil, &LimitError{Limit: g.limits.Instances}
	case full(g.sources[source], g.limits.PerSource):
		return nil, &LimitError{PerSource: true, Limit: g.limits.PerSource}
	}
	g.all++
	g.sources[source]++
	return sync.OnceFunc(func() { g.leave(source) }), nil
}

func full(taken, limit int) bool { return limit > 0 && taken >= limit }

func (g *gate) leave(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.sources[source]--; g.sources[source] == 0 {
		delete(g.sources, source)
	}
}

func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}
