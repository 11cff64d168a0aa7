package sessiontest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// held is how many bytes one direction of a connection takes before its reader
// does, like the buffers of sockets.
const held = 256 << 10

// A stream is one direction of a connection: its sender's end and its reader's.
type stream struct {
	faults faults // copied from the link and changed with it

	mu      sync.Mutex
	changed chan struct{} // closed at the next change of anything
	pieces  []piece
	size    int  // bytes in pieces
	ended   bool // the sender has ended it: the last piece is the end
	dropped bool // the link has: nothing more gets in
	told    bool // and the last piece is a reset
	unread  bool // nobody will read it
	broken  bool // it was reset
}

// A piece is bytes that arrive together, or how the stream ends.
type piece struct {
	at   time.Time
	data []byte
	end  error
}

func newStream(f faults) *stream {
	return &stream{faults: f, changed: make(chan struct{})}
}

// change does something to the stream and wakes up whoever waits on it.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// read reads what has arrived, and waits for it.
func (s *stream) read(p []byte, deadline *deadline) (int, error) {
	for {
		if deadline.passed() {
			return 0, os.ErrDeadlineExceeded
		}
		n, wait, err := s.tryRead(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		wait.wait(deadline)
	}
}

func (s *stream) tryRead(p []byte) (n int, w waiting, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch w = (waiting{changed: s.changed}); {
	case s.unread:
		return 0, w, net.ErrClosed
	case s.faults.Cut:
		return 0, w, nil
	case s.broken:
		return 0, w, syscall.ECONNRESET
	case len(s.pieces) == 0:
		return 0, w, nil
	}
	first := &s.pieces[0]
	if w.until = time.Until(first.at); w.until > 0 {
		return 0, w, nil
	}
	if first.end != nil {
		return 0, w, first.end // and stays the first
	}
	n = copy(p, first.data)
	if first.data = first.data[n:]; len(first.data) == 0 {
		s.pieces = s.pieces[1:]
	}
	s.size -= n
	s.wake()
	return n, w, nil
}

// write puts bytes on their way, and waits for room.
func (s *stream) write(p []byte, deadline *deadline) (written int, err error) {
	for {
		if deadline.passed() {
			return written, os.ErrDeadlineExceeded
		}
		n, wait, err := s.tryWrite(p[written:])
		written += n
		switch {
		case err != nil || written == len(p):
			return written, err
		case n == 0:
			wait.wait(deadline)
		}
	}
}

func (s *stream) tryWrite(p []byte) (n int, w waiting, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w = waiting{changed: s.changed}
	switch {
	case s.ended:
		return 0, w, net.ErrClosed
	case s.dropped:
		return 0, w, syscall.ECONNRESET
	case (s.broken || s.unread) && !s.faults.Cut:
		return 0, w, syscall.EPIPE
	}
	if n = min(len(p), held-s.size); n == 0 {
		return 0, w, nil
	}
	if s.faults.Drops {
		n = int(min(int64(n), s.faults.Left))
		s.faults.Left -= int64(n)
	}
	if n > 0 {
		s.put(append([]byte(nil), p[:n]...), nil)
		s.size += n
	}
	if s.faults.Drops && s.faults.Left == 0 {
		s.dropped = true
		if n < len(p) {
			err = syscall.ECONNRESET
		}
	}
	return n, w, err
}

// settle implements sender. The reader, who may close when it hears of it, does so
// last: the end of the other direction is a reset too by then.
func (s *stream) settle(other *stream) {
	s.mu.Lock()
	dropped := s.dropped
	s.mu.Unlock()
	if dropped {
		other.broke()
		s.tell()
	}
}

// tell has the reader hear that the link has dropped the connection, if it has.
func (s *stream) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped && !s.told {
		s.told = true
		s.put(nil, syscall.ECONNRESET)
	}
}

// put puts a piece on its way. None overtakes another.
func (s *stream) put(data []byte, end error) {
	at := time.Now().Add(s.faults.Delay)
	if n := len(s.pieces); n > 0 && at.Before(s.pieces[n-1].at) {
		at = s.pieces[n-1].at
	}
	s.pieces = append(s.pieces, piece{at, data, end})
	s.wake()
}

// end ends the sending half. It reports whether it was not ended before.
func (s *stream) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	if !s.broken && !s.unread && !s.dropped {
		s.put(nil, io.EOF)
	}
	return true
}

// close implements sender.
func (s *stream) close(lost bool) {
	s.end()
	if lost {
		s.broke()
	}
}

// leave ends the reading half, and reports whether bytes were left unread.
func (s *stream) leave() (lost bool) {
	s.change(func() {
		lost, s.unread = s.size > 0 && !s.broken, true
		s.pieces, s.size = nil, 0
	})
	return lost
}

// broke resets the stream at both ends, with what was on its way.
func (s *stream) broke() {
	s.change(func() {
		s.broken = true
		s.pieces, s.size = nil, 0
	})
}
