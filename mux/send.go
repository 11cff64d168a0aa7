package mux

import (
	"sync/atomic"

	"github.com/hashicorp/yamux"
)

// What a SendStream has been told, as bits.
const (
	toldStopped  uint32 = 1 << iota // the peer reads no more
	toldCanceled                    // CancelWrite
	toldClosed                      // CloseWrite
)

// SendStream carries data to the peer. At most one Write may run at a time; the other methods may be called at any
// time from anywhere.
type SendStream struct {
	s       *Session
	f       *flow
	turn    chan struct{} // held by the running Write, and by whoever sends FIN: data never follows a FIN
	stopped chan struct{}
	told    atomic.Uint32
	sent    atomic.Uint64
}

func newSendStream(s *Session, f *flow) *SendStream {
	return &SendStream{s: s, f: f, turn: make(chan struct{}, 1), stopped: make(chan struct{})}
}

// ID returns the number by which a message announces the stream. Both ends use the same.
func (w *SendStream) ID() uint32 { return w.f.id }

// Sent returns how many bytes Write has reported as written, and while a Write runs also what it is just handing over:
// the peer never has more than that.
func (w *SendStream) Sent() uint64 { return w.sent.Load() }

// Stopped is closed when the peer says that it reads no more: because it stopped the stream, or because it read it to
// its end after CloseWrite. A Write that runs then returns ErrStopped, and the stream is ended without help. It stays
// open when the session dies.
func (w *SendStream) Stopped() <-chan struct{} { return w.stopped }

// Write returns when the connection has taken all of p, or with how many bytes it took and the reason: ErrStopped when
// the peer stopped reading, ErrCanceled after CancelWrite, ErrClosed after CloseWrite, *LostError when the session
// ended. It waits while the peer's window is full. p is sent in frames of up to FrameSize bytes.
func (w *SendStream) Write(p []byte) (int, error) {
	if err := w.refusal(toldCanceled | toldStopped | toldClosed); err != nil {
		return 0, err
	}
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if err := w.refusal(toldCanceled | toldStopped | toldClosed); err != nil {
		return 0, err
	}
	ys := w.f.stream(nil, w.s.Done())
	if ys == nil {
		return 0, w.s.lost()
	}
	return w.write(ys, p)
}

// write sends p frame by frame. CloseWrite lets it finish; the others end it.
func (w *SendStream) write(ys *yamux.Stream, p []byte) (total int, err error) {
	size := evenly(len(p))
	for total < len(p) {
		n, err := w.await(min(size, len(p)-total))
		if err != nil {
			return total, err
		}
		w.sent.Add(uint64(n)) // before the peer can have it and answer
		sent, err := ys.Write(p[total : total+n])
		total += sent
		if err != nil {
			w.sent.Add(-uint64(n - sent))
			w.s.faulted(err)
			return total, w.s.lost()
		}
	}
	return total, nil
}

// await returns how many of n bytes may be sent, when some may.
func (w *SendStream) await(n int) (int, error) {
	for {
		if err := w.refusal(toldCanceled | toldStopped); err != nil {
			return 0, err
		}
		if m := w.s.guard.use(w.f, n); m > 0 {
			return m, nil
		}
		select {
		case <-w.f.room:
		case <-w.s.Done():
			return 0, w.s.lost()
		}
	}
}

// evenly cuts n bytes into as few frames as possible, all of about the same size: a frame of a few bytes costs as much
// as a full one.
func evenly(n int) int {
	frames := max(1, (n+FrameSize-1)/FrameSize)
	return (n + frames - 1) / frames
}

// refusal returns the error for the most important of the reasons that apply.
func (w *SendStream) refusal(reasons uint32) error {
	switch told := w.told.Load() & reasons; {
	case told&toldCanceled != 0:
		return ErrCanceled
	case told&toldClosed != 0:
		return ErrClosed
	case told&toldStopped != 0:
		return ErrStopped
	}
	return nil
}

// CloseWrite ends the data: it waits for the running Write and for the connection to take the FIN. The error is nil
// only if it did; then the peer reads io.EOF after the last byte. Later Writes return ErrClosed. After CancelWrite it
// returns ErrCanceled and ends nothing.
func (w *SendStream) CloseWrite() error {
	w.told.Or(toldClosed)
	err := w.end()
	if canceled := w.refusal(toldCanceled); canceled != nil {
		return canceled
	}
	return err
}

// CancelWrite gives up the stream without claiming that its data are complete: no FIN is sent until the peer stops
// reading it. Writes, running and later, return ErrCanceled; the running one at once if it waits for the peer's
// window, and when the connection has taken its frame if it waits for that.
func (w *SendStream) CancelWrite() {
	w.told.Or(toldCanceled)
	signal(w.f.room)
}

// peerStopped is called once, by the guard, when the peer's FIN has come. It must not wait.
func (w *SendStream) peerStopped() {
	w.told.Or(toldStopped)
	close(w.stopped)
	signal(w.f.room)
	w.s.background(func() { _ = w.end() })
}

// end sends FIN after the running Write, unless the stream was canceled and the peer has not stopped it. More calls do
// no harm.
func (w *SendStream) end() error {
	ys := w.f.stream(nil, w.s.Done())
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if w.told.Load()&(toldCanceled|toldStopped) == toldCanceled {
		return ErrCanceled
	}
	if ys != nil {
		w.f.end(ys)
	}
	if !w.s.guard.finSent(w.f) {
		return w.s.lost()
	}
	return nil
}
