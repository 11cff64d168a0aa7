package muxtest

import (
	"encoding/binary"
	"slices"
	"sync"
)

// Header is the header of one frame.
type Header struct {
	Kind   byte // 0 data, 1 window update, 2 ping, 3 go away
	Flags  byte // 1 SYN, 2 ACK, 4 FIN, 8 RST
	ID     uint32
	Length uint32
}

// SYN reports whether the frame opens its stream.
func (h Header) SYN() bool { return h.Flags&1 != 0 }

// FIN reports whether the frame ends its sender's half of the stream.
func (h Header) FIN() bool { return h.Flags&4 != 0 }

// Data returns how many bytes of data the frame carries.
func (h Header) Data() int {
	if h.Kind != 0 {
		return 0
	}
	return int(h.Length)
}

// scanner follows the frames of one direction.
type scanner struct {
	head []byte
	body int // bytes of the current body that are still to come
}

func (s *scanner) scan(p []byte, each func(Header)) {
	for len(p) > 0 {
		if s.body > 0 {
			n := min(s.body, len(p))
			s.body -= n
			p = p[n:]
			continue
		}
		n := min(12-len(s.head), len(p))
		s.head = append(s.head, p[:n]...)
		if p = p[n:]; len(s.head) < 12 {
			return
		}
		h := Header{s.head[1], s.head[3], binary.BigEndian.Uint32(s.head[4:]), binary.BigEndian.Uint32(s.head[8:])}
		s.head = s.head[:0]
		s.body = h.Data()
		each(h)
	}
}

// Tap is a connection that remembers the frames written to it.
type Tap struct {
	Conn
	mu      sync.Mutex
	scanner scanner
	frames  []Header
}

// NewTap wraps a connection.
func NewTap(conn Conn) *Tap { return &Tap{Conn: conn} }

func (t *Tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.scanner.scan(p, func(h Header) { t.frames = append(t.frames, h) })
	t.mu.Unlock()
	return t.Conn.Write(p)
}

// Frames returns the headers of all frames so far, in order.
func (t *Tap) Frames() []Header {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.frames)
}
