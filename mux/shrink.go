package mux

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	bulkBytes   = 32 << 10        // a stream that carried this much has a receive buffer worth freeing
	shrinkAfter = 2 * time.Second // of idleness
)

// shrinker frees the receive buffers of streams that carried bulk and then fell silent: yamux keeps a stream's buffer
// at its largest size for as long as the stream lives. One timer serves a session; it runs only while some stream
// has a buffer to free.
type shrinker struct {
	s     *Session
	mu    sync.Mutex
	busy  map[*ReceiveStream]struct{}
	timer *time.Timer
}

// bulk is a stream's part of the shrinker.
type bulk struct {
	read    int         // since the stream was last listed; Read only
	listed  atomic.Bool // in the shrinker's list
	touched atomic.Bool // read from since the timer last looked
}

// note is called by Read.
func (b *bulk) note(r *ReceiveStream, n int) {
	if b.listed.Load() {
		b.touched.Store(true)
		return
	}
	if b.read += n; b.read >= bulkBytes {
		b.read = 0
		r.s.shrink.add(r)
	}
}

func (k *shrinker) add(r *ReceiveStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.bulk.touched.Store(true)
	r.bulk.listed.Store(true)
	if k.busy == nil {
		k.busy = make(map[*ReceiveStream]struct{})
	}
	k.busy[r] = struct{}{}
	if len(k.busy) == 1 {
		k.arm()
	}
}

func (k *shrinker) arm() {
	if k.timer == nil {
		k.timer = time.AfterFunc(shrinkAfter, k.look)
		return
	}
	k.timer.Reset(shrinkAfter)
}

// look frees what has been idle and empty since the last look. It leaves alone a stream whose frame is just coming,
// because yamux would make it wait for the rest of the frame.
func (k *shrinker) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r := range k.busy {
		ys := r.f.ys.Load() // nil when the stream is over
		if ys != nil && (r.bulk.touched.Swap(false) || k.s.guard.hasMore(r.f, r.received.Load())) {
			continue
		}
		if ys != nil {
			ys.Shrink()
		}
		r.bulk.listed.Store(false)
		delete(k.busy, r)
	}
	if len(k.busy) > 0 && k.s.guard.ended() == nil {
		k.arm()
	}
}

// stop forgets everything; the session has ended.
func (k *shrinker) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = nil
	if k.timer != nil {
		k.timer.Stop()
	}
}
