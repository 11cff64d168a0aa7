package mux

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// direction says which way a stream carries data, seen from this end.
type direction uint8

const (
	undecided direction = iota // opened by the client and not claimed
	sending
	receiving
	duplex
	dropped // given up by the client before anybody claimed it
)

// flow is one stream as the guard sees it. It exists from the SYN until both ends' FINs have passed.
type flow struct {
	id uint32

	// Under the guard's lock.
	dir     direction
	writer  *SendStream // told when the peer's FIN arrives; only while dir is sending
	credit  int64       // bytes the peer may still send: the windows granted outward less what came
	seen    uint64      // data bytes that came, those of a frame from its header on
	whole   uint64      // of these, the bytes of whole frames that yamux has
	over    bool        // yamux has the peer's FIN
	born    time.Time   // arrival of the SYN, server only
	acked   bool        // an ACK went out (server) or came in (client)
	inFIN   bool        // the peer's FIN has passed
	outFIN  bool        // our FIN is passing or has passed
	finSent bool        // the connection took our FIN

	window int64 // bytes we may still send, by what the peer granted
	usable int64 // of these, what yamux knows of; Write must not ask it for more

	// Each holds at most one element, and is nil if the stream has no such direction.
	arrived chan struct{} // whole or over has changed
	room    chan struct{} // usable has grown, or a Write has to look why it should end

	// control is held by whoever makes yamux send a window update or a FIN, because yamux lets the second wait in a way
	// that cannot be interrupted.
	control chan struct{}

	// ys is set before filed is closed, and set to nil when the stream has ended and holds nothing that anybody
	// may still read.
	filed chan struct{}
	ys    atomic.Pointer[yamux.Stream]
}

func newFlow(id uint32) *flow {
	return &flow{
		id:      id,
		credit:  initialWindow,
		window:  initialWindow,
		usable:  initialWindow,
		control: make(chan struct{}, 1),
		filed:   make(chan struct{}),
	}
}

// direct sets the direction, under the guard's lock.
func (f *flow) direct(dir direction) {
	f.dir = dir
	if dir == receiving || dir == duplex {
		f.arrived = make(chan struct{}, 1)
	}
	if dir == sending || dir == duplex {
		f.room = make(chan struct{}, 1)
	}
}

// signal puts an element into c if it holds none.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// file gives the flow its yamux stream; once.
func (f *flow) file(ys *yamux.Stream) {
	f.ys.Store(ys)
	close(f.filed)
}

// stream returns the yamux stream, waiting for a claimed stream to be filed. It returns nil when the stream has
// ended in both directions, when cancel is closed, and when the session ended before the filing.
func (f *flow) stream(cancel, done <-chan struct{}) *yamux.Stream {
	if ys := f.ys.Load(); ys != nil {
		return ys
	}
	select {
	case <-f.filed:
	case <-cancel:
	case <-done:
	}
	return f.ys.Load()
}

// read reads what has arrived. It waits only for the window update that yamux may send.
func (f *flow) read(ys *yamux.Stream, p []byte) (int, error) {
	f.control <- struct{}{}
	defer func() { <-f.control }()
	return ys.Read(p)
}

// end sends FIN, once, and waits until it has been sent.
func (f *flow) end(ys *yamux.Stream) {
	f.control <- struct{}{}
	defer func() { <-f.control }()
	_ = ys.Close()
}
