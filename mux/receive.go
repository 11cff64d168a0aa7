package mux

import (
	"io"
	"sync"
	"sync/atomic"
)

// ReceiveStream carries data from the peer. At most one Read may run at a time; the other methods may be called at
// any time from anywhere.
type ReceiveStream struct {
	s        *Session
	f        *flow
	received atomic.Uint64
	canceled chan struct{}
	cancel   sync.Once
	atEnd    bool // Read only: io.EOF was returned
	bulk     bulk
}

func newReceiveStream(s *Session, f *flow) *ReceiveStream {
	return &ReceiveStream{s: s, f: f, canceled: make(chan struct{})}
}

// ID returns the number by which a message announces the stream. Both ends use the same.
func (r *ReceiveStream) ID() uint32 { return r.f.id }

// Received returns how many bytes Read has returned.
func (r *ReceiveStream) Received() uint64 { return r.received.Load() }

// Read returns either at least one byte and no error, or no byte and the reason: io.EOF when the peer ended the stream
// and every byte was returned, *LostError when the session ended before that, ErrCanceled after CancelRead. What came
// before the session ended is returned first.
//
// Having returned io.EOF, it tells the peer that the stream is done with, as CancelRead would.
func (r *ReceiveStream) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err == io.EOF && !r.atEnd {
		r.atEnd = true
		r.s.background(func() { _ = r.end() })
	}
	return n, err
}

func (r *ReceiveStream) read(p []byte) (int, error) {
	if len(p) == 0 || r.atEnd {
		return 0, r.endError()
	}
	ys := r.f.stream(r.canceled, r.s.Done())
	if r.isCanceled() {
		return 0, ErrCanceled
	}
	if ys == nil {
		return 0, r.s.lost()
	}
	r.await()
	if r.isCanceled() {
		return 0, ErrCanceled
	}
	n, err := r.f.read(ys, p)
	if r.isCanceled() {
		return 0, ErrCanceled
	}
	lost := r.s.faulted(err)
	if n > 0 {
		// An error beside data is one of sending a window update; if it matters the next Read meets it.
		r.received.Add(uint64(n))
		r.bulk.note(r, n)
		return n, nil
	}
	if err == io.EOF && !lost && r.s.guard.wholly(r.f, r.received.Load()) {
		ys.Shrink()
		return 0, io.EOF
	}
	return 0, r.s.lost()
}

// await returns when there is something to read, the stream was canceled or the session has ended. A frame that is
// just coming is waited for here, where the waiting can be interrupted, and not in yamux; but only one, so that a
// reader keeps up with a writer that never pauses.
func (r *ReceiveStream) await() {
	select {
	case <-r.f.arrived: // of what was read already, perhaps
	default:
	}
	for waited := false; ; {
		some, coming := r.s.guard.readable(r.f, r.received.Load())
		if some && (waited || !coming) {
			return
		}
		waited = some
		select {
		case <-r.f.arrived:
		case <-r.canceled:
			return
		case <-r.s.Done():
			return
		}
	}
}

// endError repeats the end for a Read that comes after it.
func (r *ReceiveStream) endError() error {
	switch {
	case r.isCanceled():
		return ErrCanceled
	case r.atEnd:
		return io.EOF
	}
	return nil
}

func (r *ReceiveStream) isCanceled() bool {
	select {
	case <-r.canceled:
		return true
	default:
		return false
	}
}

// CancelRead stops the stream: the peer is told that nobody reads it, a blocked Read returns ErrCanceled at once, and
// what is in flight is dropped without asking for more. It waits for the connection to take the FIN; the error is nil
// only if it did. The stream is over when the peer has ended it too.
func (r *ReceiveStream) CancelRead() error {
	r.cancel.Do(func() { close(r.canceled) })
	return r.end()
}

// end sends FIN. More calls do no harm.
func (r *ReceiveStream) end() error {
	if ys := r.f.stream(nil, r.s.Done()); ys != nil {
		r.f.end(ys)
	}
	if !r.s.guard.finSent(r.f) {
		return r.s.lost()
	}
	return nil
}
