package muxtest

import (
	"io"
	"sync"
	"time"
)

// Fault is a connection that breaks on demand. All methods may be called at any time, also while Read or Write waits.
type Fault struct {
	conn Conn

	mu       sync.Mutex
	changed  sync.Cond
	delay    time.Duration
	oneByte  bool
	stalled  bool
	closed   bool
	read     int64 // bytes given to the reader
	written  int64 // bytes taken from the writer
	readCut  cut
	writeCut cut
	flips    map[int64]byte
	inbound  scanner
}

// cut is where a direction ends, and how.
type cut struct {
	set   bool
	after int64
	err   error
	ends  bool // the other side is told
}

// NewFault wraps a connection. At first it changes nothing.
func NewFault(conn Conn) *Fault {
	f := &Fault{conn: conn, flips: make(map[int64]byte)}
	f.changed.L = &f.mu
	return f
}

// Delay makes every Read wait for d once it has something to give, except inside the body of a frame: yamux holds a
// mutex there, and a bubble's clock stands still while somebody else wants it.
func (f *Fault) Delay(d time.Duration) { f.set(func() { f.delay = d }) }

// OneByteReads makes every Read give one byte.
func (f *Fault) OneByteReads() { f.set(func() { f.oneByte = true }) }

// Stall makes Reads and Writes wait, as a dead link or a stopped peer would, until Resume or Close. The body of a frame
// that is coming still comes, for the reason that Delay has.
func (f *Fault) Stall() { f.set(func() { f.stalled = true }) }

// Resume ends a Stall. Nothing was lost.
func (f *Fault) Resume() { f.set(func() { f.stalled = false }) }

// CutRead makes Read fail with err after n bytes, counted from the start of the connection. A Read that waits already
// fails when something comes.
func (f *Fault) CutRead(n int64, err error) {
	f.set(func() { f.readCut = cut{set: true, after: n, err: err} })
}

// CutWrite makes Write fail with err after n bytes, counted from the start of the connection. The peer reads these and
// then waits.
func (f *Fault) CutWrite(n int64, err error) {
	f.set(func() { f.writeCut = cut{set: true, after: n, err: err} })
}

// BreakWrite is like CutWrite, but the peer reads io.EOF after the n bytes.
func (f *Fault) BreakWrite(n int64, err error) {
	f.set(func() { f.writeCut = cut{set: true, after: n, err: err, ends: true} })
}

// CorruptRead flips the bits of mask in the n-th byte that Read gives, counted from 0 at the start of the connection.
func (f *Fault) CorruptRead(n int64, mask byte) { f.set(func() { f.flips[n] = mask }) }

// Counts returns how many bytes have been given to the reader and taken from the writer.
func (f *Fault) Counts() (read, written int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read, f.written
}

func (f *Fault) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.changed.Broadcast()
}

func (f *Fault) Read(p []byte) (int, error) {
	p, wait, err := f.beforeRead(p)
	if err != nil || len(p) == 0 {
		return 0, err
	}
	n, err := f.conn.Read(p)
	if wait > 0 {
		time.Sleep(wait)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if stop := f.awaitLocked(f.inbound.body == 0); stop != nil {
		return 0, stop
	}
	if left := max(0, f.readCut.after-f.read); f.readCut.set && int64(n) > left {
		n, err = int(left), f.readCut.err
	}
	for i := range n {
		p[i] ^= f.flips[f.read+int64(i)]
	}
	f.read += int64(n)
	f.inbound.scan(p[:n], func(Header) {})
	return n, err
}

// beforeRead waits for the end of a stall and shortens p to what may be read.
func (f *Fault) beforeRead(p []byte) ([]byte, time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.awaitLocked(f.inbound.body == 0); err != nil {
		return nil, 0, err
	}
	if f.oneByte && len(p) > 1 {
		p = p[:1]
	}
	if left := f.readCut.after - f.read; f.readCut.set {
		if left <= 0 {
			return nil, 0, f.readCut.err
		}
		p = p[:min(int64(len(p)), left)]
	}
	if f.inbound.body > 0 {
		return p, 0, nil
	}
	return p, f.delay, nil
}

func (f *Fault) Write(p []byte) (int, error) {
	rest, end, err := f.beforeWrite(p)
	if err != nil {
		return 0, err
	}
	n, err := f.conn.Write(rest)
	if end.ends {
		_ = f.conn.CloseWrite()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written += int64(n)
	if err == nil {
		err = end.err
	}
	return n, err
}

// beforeWrite waits for the end of a stall and shortens p to what may be written; end is the cut that follows, or zero.
func (f *Fault) beforeWrite(p []byte) (rest []byte, end cut, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.awaitLocked(true); err != nil {
		return nil, cut{}, err
	}
	left := max(0, f.writeCut.after-f.written)
	if !f.writeCut.set || int64(len(p)) <= left {
		return p, cut{}, nil
	}
	return p[:left], f.writeCut, nil
}

// awaitLocked waits for the end of a stall, if the caller's position is one that stalls.
func (f *Fault) awaitLocked(stalls bool) error {
	for stalls && f.stalled && !f.closed {
		f.changed.Wait()
	}
	if f.closed {
		return io.ErrClosedPipe
	}
	return nil
}

// CloseWrite ends the sending half.
func (f *Fault) CloseWrite() error { return f.conn.CloseWrite() }

// Close closes the connection, stalled or not.
func (f *Fault) Close() error {
	f.set(func() { f.closed = true })
	return f.conn.Close()
}
