package session

import (
	"time"

	"github.com/rexec/rex/proto"
)

// A limit bounds several waits together. Its time begins when begin is closed;
// a d of 0 or less is no bound.
type limit struct {
	d       time.Duration
	begin   <-chan struct{}
	timer   *time.Timer
	expired <-chan time.Time
}

// await waits for end and reports whether it came in time. Meanwhile it calls
// remind, unless that is nil, every proto.CloseGrace.
func (l *limit) await(end <-chan struct{}, remind func()) bool {
	if isClosed(end) { // also when the time is over
		return true
	}
	begin := l.begin
	if l.d <= 0 || l.timer != nil {
		begin = nil
	}
	var reminder <-chan time.Time
	if remind != nil {
		ticker := time.NewTicker(proto.CloseGrace)
		defer ticker.Stop()
		reminder = ticker.C
	}
	for {
		select {
		case <-end:
			return true
		case <-begin:
			begin = nil
			l.timer = time.NewTimer(l.d)
			l.expired = l.timer.C
		case <-reminder:
			remind()
		case <-l.expired:
			return false
		}
	}
}

func (l *limit) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// isClosed reports whether c is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
