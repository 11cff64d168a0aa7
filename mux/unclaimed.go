package mux

import "time"

// unclaimed is the server's account of streams that the client opened and that nobody has taken yet. It is under the
// guard's lock.
//
// A stream may be unclaimed only because the message that announces it has come and the reader of the control stream
// has not got to it: the guard is always ahead of that reader. So the bounds are applied only while the reader waits
// for bytes that have not come yet, having acted on all that have.
type unclaimed struct {
	count        int
	timer        *time.Timer // runs while count > 0
	controlAt    time.Time   // when the last byte of the control stream came
	controlSeen  uint64      // bytes of the control stream that came
	controlTaken uint64      // of these, what its reader was given
	waiting      bool        // its reader is inside Read
}

func (u *unclaimed) caughtUp() bool { return u.waiting && u.controlTaken == u.controlSeen }

func (u *unclaimed) stop() {
	if u.timer != nil {
		u.timer.Stop()
	}
}

// addUnclaimed counts a stream that has just been opened.
func (g *guard) addUnclaimed() ([]*flow, error) {
	u := &g.unclaimed
	if u.count++; u.count == 1 {
		if u.timer == nil {
			u.timer = time.AfterFunc(g.patience, g.judgeAge)
		} else {
			u.timer.Reset(g.patience)
		}
	}
	return g.judgeCount()
}

// judgeCount applies the bound of how many, under the lock. Streams that the client has ended already make room, the
// oldest first: it may have given them up before it announced them.
func (g *guard) judgeCount() (drops []*flow, err error) {
	for g.unclaimed.count > g.maxUnclaimed && g.unclaimed.caughtUp() {
		oldest := g.oldestEnded()
		if oldest == nil {
			return drops, violation("too many streams opened and not announced")
		}
		drops = append(drops, g.drop(oldest))
	}
	return drops, nil
}

func (g *guard) oldestEnded() (oldest *flow) {
	for _, fl := range g.flows {
		if fl.dir == undecided && fl.inFIN && (oldest == nil || fl.id < oldest.id) {
			oldest = fl
		}
	}
	return oldest
}

// drop takes an unclaimed stream out of the account; somebody has to answer its FIN.
func (g *guard) drop(fl *flow) *flow {
	fl.dir = dropped
	g.unclaimed.count--
	return fl
}

// judgeAge applies the bound of how long. It runs on the timer.
func (g *guard) judgeAge() {
	g.mu.Lock()
	drops, err := g.tooOld(g.now())
	g.mu.Unlock()
	news{drops: drops}.deliver(g)
	if err != nil {
		g.fail(err)
	}
}

// tooOld looks for streams whose time is over and sets the timer for the next one.
func (g *guard) tooOld(now time.Time) (drops []*flow, err error) {
	u := &g.unclaimed
	if u.count == 0 || g.cause != nil {
		return nil, nil
	}
	next := g.patience
	for _, fl := range g.flows {
		if fl.dir != undecided {
			continue
		}
		left := g.patience - now.Sub(later(fl.born, u.controlAt))
		switch {
		case left > 0:
			next = min(next, left)
		case !u.caughtUp():
		case fl.inFIN:
			drops = append(drops, g.drop(fl))
		default:
			return drops, violation("stream opened and never announced")
		}
	}
	if u.count > 0 {
		u.timer.Reset(next)
	}
	return drops, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// heardControl notes that a part of a frame's body came on the control stream.
func (g *guard) heardControl() {
	g.mu.Lock()
	g.unclaimed.controlAt = g.now()
	g.mu.Unlock()
}

// controlWaits is called when the reader of the control stream has acted on all it was given and wants more.
func (g *guard) controlWaits() {
	g.mu.Lock()
	g.unclaimed.waiting = true
	drops, err := g.judgeCount()
	g.mu.Unlock()
	news{drops: drops}.deliver(g)
	if err != nil {
		g.fail(err)
	}
}

// controlTook is called when the reader of the control stream was given n bytes.
func (g *guard) controlTook(n int) {
	g.mu.Lock()
	g.unclaimed.waiting = false
	g.unclaimed.controlTaken += uint64(n)
	g.mu.Unlock()
}

// claim gives an opened stream its direction and, for sending, the writer that is told of the peer's FIN. If that FIN
// has passed already, stopped is true and the writer will not be told.
func (g *guard) claim(fl *flow, dir direction, writer *SendStream) (stopped bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case fl.dir != undecided:
		return false, ErrUnknownStream
	case dir == sending && fl.seen > 0:
		return false, violation("data against the direction of its stream")
	}
	fl.direct(dir)
	fl.writer = writer
	if g.server {
		g.unclaimed.count--
	}
	return dir == sending && fl.inFIN, nil
}
