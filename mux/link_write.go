package mux

import (
	"net"
	"time"
)

// due is what waits to be sent beside data. It does not grow, however little the peer reads: of each kind only the
// latest matters.
type due struct {
	ack, pong, ping, pause bool
	pongValue              uint64
}

// Write sends p in records and returns when the connection has taken all of it, or with how many bytes it took and
// the reason: ErrClosed after Close and CloseWrite, *LinkLostError when the connection failed, *ViolationError when
// the peer broke a rule.
func (l *Link) Write(p []byte) (int, error) {
	l.one[0] = p
	l.vector = l.one[:]
	n, err := l.WriteBuffers(&l.vector)
	l.one[0] = nil
	return int(n), err
}

// WriteBuffers is Write of all the buffers, which are used up as by (*net.Buffers).WriteTo. Their bytes are copied once,
// behind a record's header, and header and payload are one Write of the connection.
func (l *Link) WriteBuffers(buffers *net.Buffers) (total int64, err error) {
	for left := size(*buffers); left > 0 && err == nil; {
		n := min(left, maxData)
		if err = l.writeRecord(buffers, n); err == nil {
			left -= n
			total += int64(n)
		}
	}
	return total, err
}

func size(buffers net.Buffers) (n int) {
	for _, b := range buffers {
		n += len(b)
	}
	return n
}

// writeRecord sends what is due, and then the next n bytes of the buffers.
func (l *Link) writeRecord(buffers *net.Buffers, n int) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	buf, _ := l.records.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer l.records.Put(buf)
	var err error
	if *buf, err = l.beginRecord((*buf)[:0], n); err != nil {
		return err
	}
	*buf = appendFrom(*buf, buffers, n)
	if _, err := l.conn.Write(*buf); err != nil {
		return l.mute(err)
	}
	return nil
}

// beginRecord counts n bytes as sent, before the peer can have them, and appends all that goes before them.
func (l *Link) beginRecord(b []byte, n int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.stopped(); err != nil {
		return b, err
	}
	l.sent += uint64(n)
	return appendRecord(l.appendDue(b), recordData, n), nil
}

// appendFrom appends the first n bytes of the buffers and takes them away from these.
func appendFrom(b []byte, buffers *net.Buffers, n int) []byte {
	for n > 0 {
		first := (*buffers)[0]
		m := min(n, len(first))
		b = append(b, first[:m]...)
		n -= m
		if m < len(first) {
			(*buffers)[0] = first[m:]
			return b
		}
		(*buffers)[0] = nil
		*buffers = (*buffers)[1:]
	}
	return b
}

// appendDue appends the records that are due. The caller holds mu, and turn until they were written.
func (l *Link) appendDue(b []byte) []byte {
	if waiting := l.delivered - l.acked; waiting >= ackAlong || l.due.ack && waiting > 0 {
		l.acked = l.delivered
		b = appendNumber(b, recordAck, l.acked)
	}
	if l.due.pong {
		b = appendNumber(b, recordPong, l.due.pongValue)
	}
	if l.due.ping {
		l.timers.pinged++
		b = appendNumber(b, recordPing, l.timers.pinged)
	}
	if l.due.pause {
		b = appendRecord(b, recordPause, 0)
	}
	l.due = due{}
	return b
}

// kick makes sure that what is due leaves, and returns a channel that is closed when it has, or cannot. Whoever reads
// must not write: two ends that both wait for the other to read would wait for ever. The caller holds mu.
func (l *Link) kick() <-chan struct{} {
	if l.flushing == nil {
		l.flushing = make(chan struct{})
		go l.flush()
	}
	return l.flushing
}

// flush sends what is due until nothing is. One runs at a time; kick starts it.
func (l *Link) flush() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	for {
		b, last := l.takeDue()
		if len(b) == 0 {
			return
		}
		if _, err := l.conn.Write(b); err != nil {
			_ = l.mute(err)
			continue
		}
		if half, ok := l.conn.(interface{ CloseWrite() error }); ok && last {
			_ = half.CloseWrite()
		}
	}
}

// takeDue returns the records that are due, and whether CLOSE is the last of them. If there are none it ends the
// flush.
func (l *Link) takeDue() (b []byte, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted == nil && !l.closeSent {
		b = l.appendDue(make([]byte, 0, 4*(recordHeader+8)))
		if last = l.closing; last {
			l.closeSent = true
			b = l.goodbye.append(b)
		}
	}
	if len(b) == 0 {
		close(l.flushing)
		l.flushing = nil
	}
	return b, last
}

// mute ends the sending half after a write failed, and returns the error for whoever wants to write. What the peer
// said before it went away is still to be read, so the link ends when reading does, or after linger.
func (l *Link) mute(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cause != nil:
		return l.cause
	case l.muted == nil:
		lost := &LinkLostError{Cause: err}
		l.muted = lost
		l.timers.lingering = time.AfterFunc(linger, func() { _ = l.end(lost, false) })
	}
	return l.muted
}
