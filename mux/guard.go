package mux

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// linger is how long the guard goes on reading after a write failed: what the peer sent before it went away is
// still to be read, and a connection that can say so ends by itself much sooner.
const linger = 2 * time.Second

// guard sits between yamux and the connection and is the connection that yamux sees. Read and Write belong to
// yamux's two loops, one call at a time each; everything else may be called from anywhere.
//
// It owns no goroutine. Its callbacks run on the goroutine that calls Read, Write or judge, without its lock, and must
// not wait for anything.
type guard struct {
	conn         io.ReadWriteCloser
	writeBuffers func(*net.Buffers) error // nil: header and body are joined by copying
	server       bool
	maxStreams   int
	maxUnclaimed int
	patience     time.Duration
	now          func() time.Time
	onDrop       func(*flow) // the server has to end a stream that the client gave up
	onFinished   func()      // a stream has ended in both directions

	gone chan struct{} // closed when the connection has been cut
	turn chan struct{} // held by whoever writes to conn or ends its sending half

	mu        sync.Mutex
	flows     map[uint32]*flow
	controlID uint32 // the first stream of the session; 0: none yet
	lastID    uint32 // the highest id opened
	spent     budget
	cause     error // why the session ended; set once
	muted     bool  // nothing is written any more
	muteCause error // the write error that muted it, if one did
	lingering *time.Timer
	unclaimed unclaimed

	// Inbound, Read only, but for receiving.
	in        [headerSize]byte
	inLen     int                  // bytes of the header that have come
	body      uint32               // bytes of the body that are still to come
	bodyLen   uint32               // of how many
	fresh     []arrival            // what passed since Read was called last
	receiving atomic.Pointer[flow] // whose body is coming

	// Outbound, Write only.
	out      [headerSize]byte
	held     bool // a header waits in out for its body
	vector   [2][]byte
	buffers  net.Buffers
	joinPool sync.Pool
}

func newGuard(conn io.ReadWriteCloser, server bool, cfg *Config) *guard {
	return &guard{
		conn:         conn,
		writeBuffers: vectorWriter(conn),
		server:       server,
		maxStreams:   cfg.MaxStreams,
		maxUnclaimed: cfg.MaxUnclaimed,
		patience:     cfg.UnclaimedTimeout,
		now:          time.Now,
		onDrop:       func(*flow) {},
		onFinished:   func() {},
		gone:         make(chan struct{}),
		turn:         make(chan struct{}, 1),
		flows:        make(map[uint32]*flow),
	}
}

// arrival is a frame, or the last part of one, that has passed.
type arrival struct {
	f    *flow
	data uint32
	fin  bool
	room uint32 // granted by a window update
}

// Read is called by yamux. It passes on what the connection gives, looks at every header as it passes, and ends the
// connection before yamux sees the first frame that breaks a rule.
func (g *guard) Read(p []byte) (int, error) {
	g.announce()
	if g.ended() != nil {
		return g.parked()
	}
	n, err := g.conn.Read(p)
	good, broken := g.observe(p[:n])
	switch {
	case broken != nil:
		g.fail(broken)
	case err == nil:
		return n, nil
	case err != io.EOF:
		g.fail(fmt.Errorf("mux: read: %w", err))
	case g.inLen > 0 || g.body > 0:
		g.fail(fmt.Errorf("mux: the connection ended inside a frame: %w", io.ErrUnexpectedEOF))
	default:
		g.fail(io.EOF)
	}
	_, err = g.parked()
	return good, err
}

// parked waits for the cut and returns why it came.
func (g *guard) parked() (int, error) {
	<-g.gone
	return 0, g.ended()
}

// observe follows the frames in p and returns how many bytes of p come before the header that broke a rule.
func (g *guard) observe(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if g.body > 0 {
			n := min(len(p)-i, int(g.body))
			i += n
			g.passed(uint32(n))
			continue
		}
		n := copy(g.in[g.inLen:], p[i:])
		i += n
		if g.inLen += n; g.inLen < headerSize {
			break
		}
		g.inLen = 0
		f := parseFrame(g.in[:])
		if err := g.inbound(f); err != nil {
			return i - n, err
		}
	}
	return len(p), nil
}

// passed notes n bytes of a body.
func (g *guard) passed(n uint32) {
	f := g.receiving.Load()
	if g.body -= n; g.body == 0 {
		g.receiving.Store(nil)
		g.fresh = append(g.fresh, arrival{f: f, data: g.bodyLen})
	}
	if g.server && f.id == g.controlID {
		g.heardControl()
	}
}

// announce tells readers and writers what has arrived. It is sure only when yamux asks for more: it has then dealt with
// all it was given. Nobody must ask yamux sooner, because yamux waits in ways that cannot be interrupted.
func (g *guard) announce() {
	if len(g.fresh) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.fresh {
		a.f.whole += uint64(a.data)
		a.f.over = a.f.over || a.fin
		a.f.usable += int64(a.room)
		if a.room > 0 {
			signal(a.f.room)
		}
		if a.fin || a.data > 0 {
			signal(a.f.arrived)
		}
	}
	clear(g.fresh)
	g.fresh = g.fresh[:0]
}

// use returns how many of n bytes may be sent now, and counts them as sent: all, or as many as fit if that is a frame
// worth sending, or none.
func (g *guard) use(f *flow, n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case f.usable >= int64(n):
	case f.usable >= worthSending:
		n = int(f.usable)
	default:
		return 0
	}
	f.usable -= int64(n)
	return n
}

// readable reports whether yamux has something to read for a reader that has read n bytes, and whether yamux is taking
// more just now: then it would make the reader wait until it has the whole frame.
func (g *guard) readable(f *flow, n uint64) (some, coming bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.whole > n || f.over, g.receiving.Load() == f
}

// fail ends the session because of err, unless it has ended already: it cuts the connection, which makes both of
// yamux's loops return. Neither Read nor Write says so to yamux before the cut is done, because yamux's readers and
// writers spin from then on until the connection has closed. The error is the connection's own about being closed.
func (g *guard) fail(err error) error {
	g.mu.Lock()
	if g.cause != nil {
		g.mu.Unlock()
		return nil
	}
	g.cause = err
	g.unclaimed.stop()
	if g.lingering != nil {
		g.lingering.Stop()
	}
	g.mu.Unlock()
	defer close(g.gone)
	return hangUp(g.conn, err)
}

// ended returns why the session ended, or nil.
func (g *guard) ended() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// reason returns why nothing goes on: why the session ended, or else why its sending half did.
func (g *guard) reason() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause != nil {
		return g.cause
	}
	return g.muteCause
}

// Close is called by yamux when one of its loops has ended. The guard has seen the reason already, unless yamux
// found a fault that no rule of the guard covers.
func (g *guard) Close() error {
	return g.fail(violation("yamux gave up the connection"))
}

// numStreams counts the streams that have not ended in both directions.
func (g *guard) numStreams() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.flows)
}

// control returns the id of the session's first stream.
func (g *guard) control() uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.controlID
}

// lookup returns the flow with the id, or nil.
func (g *guard) lookup(id uint32) *flow {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flows[id]
}

// wholly reports whether the peer ended the flow's data and n is all of it.
func (g *guard) wholly(f *flow, n uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.inFIN && f.seen == n
}

// hasMore reports whether more bytes came for the flow than n, or are just coming.
func (g *guard) hasMore(f *flow, n uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.seen != n || g.receiving.Load() == f
}

// finSent reports whether the connection took our FIN.
func (g *guard) finSent(f *flow) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.finSent
}

// finish forgets a flow whose FINs have both passed, and reports whether it did.
func (g *guard) finish(f *flow) bool {
	if !f.inFIN || !f.outFIN {
		return false
	}
	delete(g.flows, f.id)
	return true
}

// finished tells of a flow's end, without the lock. All that was readable of a one-way stream has been read or is
// unwanted by then, because its reader sends FIN last; a duplex stream may still hold data.
func (g *guard) finished(f *flow) {
	if f.dir != duplex {
		f.ys.Store(nil)
	}
	g.onFinished()
}
