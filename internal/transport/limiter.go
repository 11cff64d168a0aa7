package transport

import (
	"sync"
	"time"
)

// A limiter lets one message through in each minute, so that a flood of
// connections is not one of the log.
type limiter struct {
	mu         sync.Mutex
	last       time.Time
	suppressed int
}

// ok reports whether a message may be written now, and how many were not since
// the last one.
func (l *limiter) ok(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last) < time.Minute {
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed, l.last = l.suppressed, 0, now
	return suppressed, true
}
