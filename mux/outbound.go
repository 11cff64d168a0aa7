package mux

import (
	"context"
	"fmt"
	"net"
	"time"
)

// vectorWriter returns how to write header and body in one system call without joining them, or nil.
func vectorWriter(conn any) func(*net.Buffers) error {
	switch conn := conn.(type) {
	case interface {
		WriteBuffers(*net.Buffers) (int64, error)
	}:
		return func(b *net.Buffers) error { _, err := conn.WriteBuffers(b); return err }
	case *net.TCPConn:
		return func(b *net.Buffers) error { _, err := b.WriteTo(conn); return err }
	case *net.UnixConn:
		return func(b *net.Buffers) error { _, err := b.WriteTo(conn); return err }
	}
	return nil
}

// fate is what becomes of an outbound header.
type fate int

const (
	pass fate = iota
	swallow
	park   // the session's sending half has ended: nothing more is accepted, and nothing must look accepted
	refuse // a fault of this package; it ends the session rather than reach the peer
)

// Write is called by yamux with one header or one body at a time. A header whose body follows is held and leaves
// with it.
func (g *guard) Write(p []byte) (int, error) {
	if g.held {
		g.held = false
		return g.send(p, park)
	}
	f := parseFrame(p)
	fl, what := g.outbound(&f)
	switch {
	case what == swallow:
		return len(p), nil
	case what == refuse:
		g.fail(errDataAfterEnd)
		return g.parked()
	case what == park:
		return g.parked()
	}
	f.put(g.out[:])
	if f.bodyLen() > 0 {
		g.held = true
		return len(p), nil
	}
	otherwise := swallow
	if f.has(flagSYN) {
		otherwise = park
	}
	n, err := g.send(nil, otherwise)
	if n > 0 && f.has(flagFIN) && err == nil {
		g.noteFIN(fl)
	}
	return len(p), err
}

// send writes the header in g.out and the body. When the sending half has ended meanwhile it does what otherwise
// says. It returns the bytes of the body, or of the header when there is no body; 0 without an error says that
// the frame was swallowed.
func (g *guard) send(body []byte, otherwise fate) (int, error) {
	g.turn <- struct{}{}
	err := g.muteError()
	if err == nil {
		if err = g.writeFrame(body); err != nil {
			g.mute(err)
		}
	}
	<-g.turn
	switch {
	case err == nil && body == nil:
		return headerSize, nil
	case err == nil:
		return len(body), nil
	case otherwise == park:
		return g.parked()
	}
	return 0, nil
}

func (g *guard) writeFrame(body []byte) error {
	switch {
	case body == nil:
		_, err := g.conn.Write(g.out[:])
		return err
	case g.writeBuffers != nil:
		g.vector[0], g.vector[1] = g.out[:], body
		g.buffers = g.vector[:]
		err := g.writeBuffers(&g.buffers)
		g.vector[1] = nil
		return err
	}
	buf, _ := g.joinPool.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = append(append((*buf)[:0], g.out[:]...), body...)
	_, err := g.conn.Write(*buf)
	g.joinPool.Put(buf)
	return err
}

// outbound keeps the books of a header that yamux sends, changes it where the peer needs more than yamux says, and
// decides what becomes of it.
func (g *guard) outbound(f *frame) (*flow, fate) {
	g.mu.Lock()
	fl, what, finished := g.outboundLocked(f)
	g.mu.Unlock()
	if finished {
		g.finished(fl)
	}
	if f.kind == kindGoAway {
		g.fail(violation("yamux found a fault that the guard does not know"))
	}
	return fl, what
}

func (g *guard) outboundLocked(f *frame) (fl *flow, what fate, finished bool) {
	switch {
	case g.muted && (f.bodyLen() > 0 || f.has(flagSYN)):
		return nil, park, false
	case g.muted || f.kind == kindGoAway:
		return nil, swallow, false
	case f.kind == kindPing:
		return nil, pass, false
	}
	if f.has(flagSYN) {
		g.openedHere(f.id)
	}
	fl = g.flows[f.id]
	switch {
	case (fl == nil || fl.outFIN) && f.bodyLen() > 0:
		return nil, refuse, false
	case fl == nil || fl.outFIN && fl.dir != duplex:
		return nil, swallow, false // a window update that nobody needs: after a stop nothing more is granted
	}
	g.acknowledge(fl, f)
	if f.kind == kindWindow {
		fl.credit += int64(f.length)
	} else {
		fl.window -= int64(f.length)
	}
	if f.has(flagFIN) {
		fl.outFIN = true
		finished = g.finish(fl)
	}
	return fl, pass, finished
}

// openedHere enters a stream that this end opens.
func (g *guard) openedHere(id uint32) {
	g.flows[id] = newFlow(id)
	g.lastID = id
	if g.controlID == 0 {
		g.controlID = id
	}
}

// acknowledge makes sure that the first frame to a stream that the client opened carries the ACK. yamux leaves it out
// for ever when the client's FIN came before the stream was accepted, and the client would keep its place in the
// queue of opened streams.
func (g *guard) acknowledge(fl *flow, f *frame) {
	if g.server && !fl.acked {
		f.flags |= flagACK
		fl.acked = true
	}
}

func (g *guard) noteFIN(fl *flow) {
	g.mu.Lock()
	fl.finSent = true
	g.mu.Unlock()
}

// mute ends the sending half: window updates, pings and FINs vanish from now on, data and SYNs wait for the end of
// the session. With an error, which a write gave, the end comes when the reading half ends or after linger.
func (g *guard) mute(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.muted = true
	if err == nil || g.muteCause != nil || g.cause != nil {
		return
	}
	err = fmt.Errorf("mux: write: %w", err)
	g.muteCause = err
	g.lingering = time.AfterFunc(linger, func() { g.fail(err) })
}

// muteError is not nil when nothing may be written any more.
func (g *guard) muteError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.muted {
		return ErrClosed
	}
	return g.cause
}

// closeWrite ends the sending half between two frames. A connection that cannot end it alone is only muted.
func (g *guard) closeWrite(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
	case <-g.gone:
		return g.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.turn }()
	g.mute(nil)
	if half, ok := g.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
