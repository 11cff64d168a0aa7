package mux

import "time"

// linkTimers are a link's, under its mu. Their functions run on goroutines of their own, and set nothing anew once the
// link has ended.
type linkTimers struct {
	ack       *time.Timer
	acking    bool // ack runs
	watch     *time.Timer
	ping      *time.Timer
	pingAt    time.Time // when ping is to run
	pinged    uint64    // the value of our latest PING; they count from 1
	ponged    uint64    // the latest of them that was answered
	lingering *time.Timer
}

func (t *linkTimers) stop() {
	for _, timer := range [...]*time.Timer{t.ack, t.watch, t.ping, t.lingering} {
		if timer != nil {
			timer.Stop()
		}
	}
}

func (l *Link) startTimers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Watch != nil {
		l.timers.watch = time.AfterFunc(l.cfg.WatchEvery, l.watch)
	}
	if every := l.cfg.PingEvery; every > 0 {
		l.timers.pingAt = l.now().Add(every)
		l.timers.ping = time.AfterFunc(every, l.askPeer)
	}
}

// ackLater makes sure that what was delivered is acknowledged within ackDelay. The caller holds mu.
func (l *Link) ackLater() {
	t := &l.timers
	switch {
	case t.acking || l.cause != nil || l.delivered == l.acked:
		return
	case t.ack == nil:
		t.ack = time.AfterFunc(ackDelay, l.ackNow)
	default:
		t.ack.Reset(ackDelay)
	}
	t.acking = true
}

func (l *Link) ackNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timers.acking = false
	if l.delivered > l.acked && !l.due.ack {
		l.due.ack = true
		l.kick()
	}
}

func (l *Link) watch() {
	if err := l.cfg.Watch(); err != nil {
		_ = l.end(&LinkLostError{Cause: err}, false)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.timers.watch.Reset(l.cfg.WatchEvery)
	}
}

// askPeer runs when nothing may have been heard for PingEvery.
func (l *Link) askPeer() {
	if l.silent() {
		_ = l.end(&LinkLostError{Cause: ErrSilent}, false)
	}
}

// silent reports whether the peer left a PING without an answer. If not it does what is to be done now, and sets the
// timer anew. A timer that runs late says that it was this process that did not live: then what has come meanwhile
// has to be read first.
func (l *Link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, every, now := &l.timers, l.cfg.PingEvery, l.now()
	quiet := now.Sub(l.start) - time.Duration(l.heard.Load())
	next := every
	switch {
	case l.cause != nil || l.peerSaid != nil: // after CLOSE nothing is to be heard
		return false
	case now.Sub(t.pingAt) > every/2:
	case l.paused.Load():
		l.asked.Store(false)
	case quiet < every:
		next = every - quiet
	case l.asked.Load():
		return true
	default:
		l.asked.Store(true)
		l.due.ping = true
		l.kick()
	}
	t.pingAt = now.Add(next)
	t.ping.Reset(next)
	return false
}

// Pause tells the peer that this process is about to be stopped, so that it does not take silence for death. It
// returns when that has left, or after 50 ms. The next record of any kind takes it back.
func (l *Link) Pause() error {
	l.mu.Lock()
	err := l.stopped()
	if err != nil {
		l.mu.Unlock()
		return err
	}
	l.due.pause = true
	sent := l.kick()
	l.mu.Unlock()
	soon(sent)
	return nil
}

// Paused reports whether the peer said that it is about to be stopped, and nothing since.
func (l *Link) Paused() bool { return l.paused.Load() }
