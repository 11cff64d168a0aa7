package mux

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultWatch = 5 * time.Second

	// closeWait is how long CLOSE may take to leave when the connection does not take it at once.
	closeWait = 50 * time.Millisecond
)

// LinkConfig is what one end of a link decides alone. The zero value is usable, and nil means the zero value.
type LinkConfig struct {
	// Watch is asked every WatchEvery, 0 is 5 s, whether the connection still has a peer. An error says that the
	// peer's kernel is silent, and the link ends with it. Watch must not wait for anything. Nil asks nothing.
	Watch      func() error
	WatchEvery time.Duration

	// PingEvery is for systems whose kernel cannot be asked: when nothing has been received for so long a PING is
	// sent, and when then nothing comes for as long again the link ends with ErrSilent. A peer that said that it is
	// about to be stopped is left in peace. What nobody reads is not heard, so Read has to be running. 0 never asks.
	PingEvery time.Duration

	// Log is told, at debug level, how the link ended. Nil discards it.
	Log *slog.Logger
}

// Link puts what is written to it into records on a connection, so that the end of the connection can be told from
// the end of what was said: a peer that ends a link says so with CLOSE, and without it Read never returns io.EOF.
//
// One Read and one Write may run at the same time, and all other methods at any time. The connection should be one
// that buffers, such as *tls.Conn, because Read asks it for no more than it needs; an idle link holds no buffer.
//
// A link runs no goroutine while it has nothing to send. For moments there is one that sends what is due beside data,
// and those of timers; they end by themselves, at the latest when the connection was closed. Close has to be called.
type Link struct {
	conn  io.ReadWriteCloser
	cfg   LinkConfig
	now   func() time.Time
	start time.Time

	turn    chan struct{} // held by whoever writes to conn: records never interleave
	records sync.Pool     // of *[]byte, a record each

	// Outbound, Write only.
	one    [1][]byte
	vector net.Buffers

	// Inbound, Read only.
	head    [recordHeader]byte
	number  [8]byte
	left    int   // bytes of a DATA that are still to come
	over    bool  // CLOSE has come
	readEnd error // what Read returns from now on

	paused atomic.Bool  // PAUSE was the latest record
	heard  atomic.Int64 // when something arrived last, as time since start; only for PingEvery
	asked  atomic.Bool  // a PING was sent since then

	mu        sync.Mutex
	cause     error // why the link ended; set once
	muted     error // why nothing is written any more, if a write failed
	sent      uint64
	confirmed uint64 // of sent, by the peer's ACKs
	delivered uint64
	acked     uint64 // of delivered, by our ACKs
	due       due
	flushing  chan struct{} // closed when the running flush ends; nil: none
	closing   bool          // nothing is written any more but CLOSE
	closeSent bool
	goodbye   farewell  // what our CLOSE says
	peerSaid  *farewell // what the peer's said
	spent     budget
	timers    linkTimers
}

// NewLink makes one end of a link on a connection, which belongs to it from now on. Nil cfg is the zero LinkConfig.
//
// The connection's Write must take all of its argument or fail, and keep no reference to it; its Close must make
// pending Reads and Writes return. If it has a CloseWrite() error, that is called when CLOSE has been sent. If it has
// a NetConn() net.Conn, as *tls.Conn has, that is what Close closes, because closing the outer one may wait.
func NewLink(conn io.ReadWriteCloser, cfg *LinkConfig) *Link {
	l := &Link{conn: conn, now: time.Now, start: time.Now(), turn: make(chan struct{}, 1)}
	if cfg != nil {
		l.cfg = *cfg
	}
	if l.cfg.WatchEvery <= 0 {
		l.cfg.WatchEvery = defaultWatch
	}
	if l.cfg.Log == nil {
		l.cfg.Log = slog.New(slog.DiscardHandler)
	}
	l.startTimers()
	return l
}

// Close sends CLOSE and closes the connection. It is immediate, unless the connection takes nothing: then it gives
// CLOSE up after 50 ms. A running Read and Write return; what Write was told to send may be lost. CLOSE carries what
// SetCloseReason said. Closing again does nothing.
func (l *Link) Close() error { return l.end(ErrClosed, true) }

// CloseCode is SetCloseReason and Close.
func (l *Link) CloseCode(code uint16, text string) error {
	l.SetCloseReason(code, text)
	return l.Close()
}

// SetCloseReason says what CLOSE is to tell the peer, whoever sends it: a code, and a text for people, of which up to
// 1024 bytes are sent. Without it, it is CloseNormal and no text. Once CLOSE has been sent it does nothing.
func (l *Link) SetCloseReason(code uint16, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.goodbye = farewell{code, closeText(text)}
}

// CloseWrite ends the direction to the peer, which reads io.EOF after everything that was written; Read goes on. It
// gives CLOSE up to 50 ms, and lets it leave later if the connection takes nothing.
func (l *Link) CloseWrite() error {
	l.mu.Lock()
	if err := l.stopped(); err != nil && !l.closing {
		l.mu.Unlock()
		return err
	}
	l.closing = true
	sent := l.kick()
	l.mu.Unlock()
	soon(sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.muted
}

// Closed returns what the peer's CLOSE said, and whether there was one. The text is the peer's: valid UTF-8, at most
// 1024 bytes, and not fit for a terminal or a log before it was escaped.
func (l *Link) Closed() (code uint16, text string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peerSaid == nil {
		return 0, "", false
	}
	return l.peerSaid.code, l.peerSaid.text, true
}

// end ends the link because of err, unless it has ended already. Only an end that this side wants says CLOSE: a
// connection that was lost did not end what is above it.
func (l *Link) end(err error, say bool) error {
	l.mu.Lock()
	if l.cause != nil {
		l.mu.Unlock()
		return nil
	}
	l.cause = err
	l.timers.stop()
	var sent <-chan struct{}
	if say && l.muted == nil {
		l.closing = true
		sent = l.kick()
	} else {
		l.muted = err
	}
	l.mu.Unlock()
	l.cfg.Log.Debug("link ended", "why", err)
	soon(sent)
	return l.cut()
}

// soon waits for done, but not for long.
func soon(done <-chan struct{}) {
	if done == nil {
		return
	}
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// cut closes the connection. TLS would wait for its own farewell, for up to 5 s or behind a Write that hangs.
func (l *Link) cut() error {
	outer, ok := l.conn.(interface{ NetConn() net.Conn })
	if !ok {
		return l.conn.Close()
	}
	err := outer.NetConn().Close()
	_ = l.conn.Close()
	return err
}

// stopped returns why nothing is written any more, or nil. The caller holds mu.
func (l *Link) stopped() error {
	switch {
	case l.cause != nil:
		return l.cause
	case l.muted != nil:
		return l.muted
	case l.closing:
		return ErrClosed
	}
	return nil
}

// hangUp closes a session's connection because of err. A link tells the peer if that was its fault.
func hangUp(conn io.Closer, err error) error {
	link, ok := conn.(interface {
		CloseCode(code uint16, text string) error
	})
	if broken, fault := errors.AsType[*ViolationError](err); ok && fault {
		return link.CloseCode(CloseViolation, broken.Reason)
	}
	return conn.Close()
}
