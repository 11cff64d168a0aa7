package mux

import "math"

// inbound checks one header from the peer against the rules and keeps the books.
func (g *guard) inbound(f frame) error {
	switch {
	case f.version != 0:
		return violation("unknown frame version")
	case f.kind > kindGoAway:
		return violation("unknown frame type")
	case f.kind == kindGoAway:
		return violation("go away")
	case f.flags&^knownFlags != 0:
		return violation("unknown frame flags")
	case f.has(flagRST):
		return violation("stream reset")
	case f.kind == kindPing:
		return g.inboundPing()
	}
	g.mu.Lock()
	news, err := g.inboundStream(f)
	g.mu.Unlock()
	news.deliver(g)
	return err
}

func (g *guard) inboundPing() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.spend()
}

// spend pays for a frame that moves nothing.
func (g *guard) spend() error {
	if !g.spent.spend(g.now()) {
		return violation("flood of pings or of frames that move nothing")
	}
	return nil
}

// news is what others have to be told once the guard's lock is free.
type news struct {
	stopped  *SendStream // its reader has gone
	finished *flow
	drops    []*flow
}

func (n news) deliver(g *guard) {
	if n.finished != nil {
		g.finished(n.finished)
	}
	if n.stopped != nil {
		n.stopped.peerStopped()
	}
	for _, f := range n.drops {
		g.onDrop(f)
	}
}

// inboundStream handles a data or window frame, under the lock.
func (g *guard) inboundStream(f frame) (n news, err error) {
	if f.has(flagSYN) {
		if n.drops, err = g.opened(f); err != nil {
			return n, err
		}
	}
	fl := g.flows[f.id]
	switch {
	case fl == nil && (f.id > g.lastID || f.id%2 == 0):
		return n, violation("frame for a stream that was never opened")
	case fl == nil || fl.inFIN:
		return n, g.late(fl, f)
	case f.flags == 0 && f.length == 0:
		return n, g.spend()
	}
	if f.has(flagACK) {
		if g.server || fl.acked {
			return n, violation("acknowledgement of a stream that needs none")
		}
		fl.acked = true
	}
	if f.kind == kindWindow {
		err = g.granted(fl, f)
	} else if f.length > 0 {
		err = g.data(fl, f)
	}
	if err != nil {
		return n, err
	}
	if f.has(flagFIN) {
		g.fresh = append(g.fresh, arrival{f: fl, fin: true})
		n.stopped, n.finished = g.peerFIN(fl)
	}
	return n, nil
}

// late handles a frame for a stream that the peer has ended; fl is nil if we have ended it too. Only a window update
// can be innocent: it may have been under way, and on the control stream the peer still reads.
func (g *guard) late(fl *flow, f frame) error {
	if f.kind != kindWindow || f.flags != 0 {
		return violation("frame after the end of its stream")
	}
	if err := g.spend(); err != nil || fl == nil {
		return err
	}
	return g.granted(fl, f)
}

// opened admits a new stream, or says why not. It may name streams to drop.
func (g *guard) opened(f frame) ([]*flow, error) {
	switch {
	case !g.server:
		return nil, violation("stream opened by the server")
	case f.id%2 == 0 || f.id <= g.lastID:
		return nil, violation("stream id even, used before or out of order")
	case len(g.flows) >= g.maxStreams:
		return nil, violation("too many streams")
	}
	fl := newFlow(f.id)
	g.flows[f.id] = fl
	g.lastID = f.id
	if g.controlID == 0 {
		g.controlID = f.id
		fl.direct(duplex)
		return nil, nil
	}
	fl.born = g.now()
	return g.addUnclaimed()
}

// granted accounts for what the peer lets us send.
func (g *guard) granted(fl *flow, f frame) error {
	if fl.window += int64(f.length); fl.window > math.MaxUint32 {
		return violation("window overflow")
	}
	if f.length > 0 {
		g.fresh = append(g.fresh, arrival{f: fl, room: f.length})
	}
	return nil
}

// data accounts for a body that is about to come.
func (g *guard) data(fl *flow, f frame) error {
	switch {
	case f.has(flagFIN):
		return violation("data and end in one frame")
	case fl.dir == sending:
		return violation("data against the direction of its stream")
	case int64(f.length) > fl.credit:
		return violation("data beyond the window")
	}
	g.body, g.bodyLen = f.length, f.length
	g.receiving.Store(fl)
	fl.credit -= int64(f.length)
	fl.seen += uint64(f.length)
	if g.server && fl.id == g.controlID {
		g.unclaimed.controlSeen += uint64(f.length)
		g.unclaimed.controlAt = g.now()
	}
	return nil
}

// peerFIN notes the peer's FIN.
func (g *guard) peerFIN(fl *flow) (stopped *SendStream, finished *flow) {
	fl.inFIN = true
	if fl.dir == sending {
		stopped = fl.writer
	}
	if g.finish(fl) {
		finished = fl
	}
	return stopped, finished
}
