package muxtest

import (
	"io"
	"sync"
)

// Pipe returns the two ends of an in-memory connection that holds up to size bytes each way. It waits on nothing but
// conditions, so that it can be used in bubbles. Writing to an end whose peer was closed, and using a closed end,
// gives io.ErrClosedPipe.
func Pipe(size int) (Conn, Conn) {
	ab, ba := newHalf(size), newHalf(size)
	return &pipeEnd{in: ba, out: ab}, &pipeEnd{in: ab, out: ba}
}

type pipeEnd struct{ in, out *half }

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }

// CloseWrite lets the peer read io.EOF after what was written.
func (p *pipeEnd) CloseWrite() error {
	p.out.end(func(h *half) { h.ended = true })
	return nil
}

// Close ends both directions at once. What was written before can still be read by the peer.
func (p *pipeEnd) Close() error {
	p.out.end(func(h *half) { h.ended = true })
	p.in.end(func(h *half) { h.broken = true })
	return nil
}

// half is one direction of a Pipe.
type half struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	start   int  // of what is unread in buf
	ended   bool // the writer has ended it
	broken  bool // the reader has gone
	size    int
}

func newHalf(size int) *half {
	h := &half{size: size}
	h.changed.L = &h.mu
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.start == len(h.buf) && !h.ended && !h.broken {
		h.changed.Wait()
	}
	switch {
	case h.broken:
		return 0, io.ErrClosedPipe
	case h.start == len(h.buf):
		return 0, io.EOF
	}
	n := copy(b, h.buf[h.start:])
	if h.start += n; h.start == len(h.buf) {
		h.buf, h.start = h.buf[:0], 0
	}
	h.changed.Broadcast()
	return n, nil
}

func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.ended || h.broken {
			return n, io.ErrClosedPipe
		}
		room := min(h.size-(len(h.buf)-h.start), len(b)-n)
		h.buf = append(h.buf, b[n:n+room]...)
		n += room
		h.changed.Broadcast()
		if n == len(b) {
			return n, nil
		}
		h.changed.Wait()
	}
}

func (h *half) end(how func(*half)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	how(h)
	h.changed.Broadcast()
}
