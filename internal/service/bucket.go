//go:build linux || darwin || freebsd

package service

import (
	"sync"
	"time"
)

// A bucket bounds the lines of a log that others can cause: burst at once, and
// one more each time that every has passed.
type bucket struct {
	burst int
	every time.Duration

	mu         sync.Mutex
	taken      int
	refilled   time.Time
	suppressed int
}

// take reports whether a line may be written now, and how many were not since
// the last one.
func (b *bucket) take(now time.Time) (suppressed int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := min(int(now.Sub(b.refilled)/b.every), b.taken)
	b.taken -= due
	b.refilled = b.refilled.Add(time.Duration(due) * b.every)
	if b.taken == 0 {
		b.refilled = now
	}
	if b.taken == b.burst {
		b.suppressed++
		return 0, false
	}
	suppressed, b.suppressed = b.suppressed, 0
	b.taken++
	return suppressed, true
}
