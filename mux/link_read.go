package mux

import (
	"encoding/binary"
	"errors"
	"io"
)

// Read returns bytes of what the peer wrote. The error is io.EOF if the peer said CLOSE and its end of the connection
// followed; *LinkLostError, never io.EOF, if the connection ended in any other way; *ViolationError if the peer broke
// a rule, which ends the link; ErrClosed after Close. It stays the same.
func (l *Link) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for l.readEnd == nil {
		if l.left == 0 {
			l.readEnd = l.nextRecord()
			continue
		}
		n, err := l.receive(p[:min(len(p), l.left)])
		l.left -= n
		if err != nil {
			l.readEnd = l.lose(err)
		}
		if n > 0 {
			l.deliver(n)
			return n, nil
		}
	}
	return 0, l.readEnd
}

// nextRecord reads a header and, unless it is that of DATA, the rest of its record.
func (l *Link) nextRecord() error {
	if l.over {
		return l.awaitEnd()
	}
	if _, err := io.ReadFull((*heeded)(l), l.head[:]); err != nil {
		return l.lose(err)
	}
	kind, length := parseRecord(l.head)
	err := checkRecord(kind, length)
	if err != nil {
		return l.blame(err)
	}
	l.paused.Store(kind == recordPause)
	switch kind {
	case recordData:
		l.left = length
		return nil
	case recordClose:
		return l.readClose(length)
	case recordPause:
		l.mu.Lock()
		err = l.spend()
		l.mu.Unlock()
	default:
		if _, err := io.ReadFull((*heeded)(l), l.number[:]); err != nil {
			return l.lose(err)
		}
		err = l.heed(kind, binary.BigEndian.Uint64(l.number[:]))
	}
	if err != nil {
		return l.blame(err)
	}
	return nil
}

// heed does what a record with a number asks for.
func (l *Link) heed(kind uint8, v uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch kind {
	case recordAck:
		if v <= l.confirmed || v > l.sent {
			return violation("ACK of nothing new or of bytes that were not sent")
		}
		l.confirmed = v
	case recordPing:
		l.due.pong, l.due.pongValue = true, v
		l.kick()
		return l.spend()
	case recordPong:
		if v <= l.timers.ponged || v > l.timers.pinged {
			return violation("PONG that nobody asked for")
		}
		l.timers.ponged = v
	}
	return nil
}

// spend pays for a record that moves nothing. The caller holds mu.
func (l *Link) spend() error {
	if !l.spent.spend(l.now()) {
		return violation("flood of PING or PAUSE")
	}
	return nil
}

func (l *Link) readClose(length int) error {
	payload := make([]byte, length)
	if _, err := io.ReadFull((*heeded)(l), payload); err != nil {
		return l.lose(err)
	}
	said, err := parseFarewell(payload)
	if err != nil {
		return l.blame(err)
	}
	l.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peerSaid = &said
	return nil
}

// awaitEnd waits for the connection's end after CLOSE. How it ends does not matter any more: a peer that closes with
// bytes of ours unread resets the connection.
func (l *Link) awaitEnd() error {
	for {
		n, err := l.receive(l.head[:1])
		if n > 0 {
			return l.blame(violation("bytes after CLOSE"))
		}
		if err != nil {
			return l.orCause(io.EOF)
		}
	}
}

// deliver counts n bytes that Read is about to return, and sees to it that they are acknowledged in time.
func (l *Link) deliver(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered += uint64(n)
	if l.delivered-l.acked >= ackBytes && !l.due.ack {
		l.due.ack = true
		l.kick()
	}
	l.ackLater()
}

// lose ends the link because reading failed, and returns why it ended.
func (l *Link) lose(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	lost := &LinkLostError{Cause: err}
	_ = l.end(lost, false)
	return l.orCause(lost)
}

// blame ends the link because the peer broke a rule, and tells it so.
func (l *Link) blame(err error) error {
	l.SetCloseReason(CloseViolation, err.Error())
	_ = l.end(err, true)
	return l.orCause(err)
}

// orCause returns why the link has ended, or err if it has not.
func (l *Link) orCause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return err
}

// receive reads from the connection and notes that the peer lives.
func (l *Link) receive(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	if n > 0 && l.cfg.PingEvery > 0 {
		l.heard.Store(int64(l.now().Sub(l.start)))
		l.asked.Store(false)
	}
	return n, err
}

// heeded is a link as the reader of its connection's bytes.
type heeded Link

func (h *heeded) Read(p []byte) (int, error) { return (*Link)(h).receive(p) }
