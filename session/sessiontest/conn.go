package sessiontest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A conn is one end of a connection.
type conn struct {
	link          *link
	local, remote Addr
	in            *stream
	out           sender
	reading       *deadline
	writing       *deadline
	turn          chan struct{} // full while somebody writes: writes are whole
	once          sync.Once

	peer   *conn  // the other end, if it is in this process
	closed bool   // guarded by the link's mutex
	free   func() // gives the dialer's port back; nil if that is another process's
}

// A sender is the sending direction of a connection: a stream, which the peer
// reads, or a wire to the peer's process.
type sender interface {
	// write is Conn.Write, for one caller at a time.
	write(p []byte, d *deadline) (int, error)
	// end ends the direction, and reports whether it was not ended before.
	end() bool
	// close ends it for good, with a reset if something was left unread here.
	close(lost bool)
	// broke resets the connection.
	broke()
	// settle ends the other direction too if the link has dropped this one.
	settle(other *stream)
}

func newConn(l *link, local, remote Addr, in *stream, out sender) *conn {
	return &conn{
		link: l, local: local, remote: remote, in: in, out: out,
		reading: newDeadline(), writing: newDeadline(), turn: make(chan struct{}, 1),
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p, c.reading)
	return n, c.explain("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.turn <- struct{}{} // whoever has it is ended by Close and by the deadline
	defer func() { <-c.turn }()
	n, err := c.out.write(p, c.writing)
	c.out.settle(c.in)
	return n, c.explain("write", err)
}

// explain makes the errors of the operating system's connections.
func (c *conn) explain(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // a Reader's EOF is never wrapped
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// CloseWrite ends the sending half: the peer reads io.EOF after what was written.
func (c *conn) CloseWrite() error {
	if !c.out.end() {
		return c.explain("close", net.ErrClosed)
	}
	return nil
}

// Close ends both directions. What was written can still be read by the peer,
// unless there was something left to read here: then the connection is reset.
func (c *conn) Close() error {
	err := c.explain("close", net.ErrClosed)
	c.once.Do(func() {
		err = nil
		c.out.close(c.in.leave())
		c.reading.stop()
		c.writing.stop()
		if c.link.forget(c) && c.free != nil {
			c.free()
		}
	})
	return err
}

// reset breaks both directions at both ends.
func (c *conn) reset() {
	c.in.broke()
	c.out.broke()
}

// LocalAddr implements net.Conn; the address is an [Addr].
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn; the address is an [Addr].
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.explain("set", c.reading.set(t)) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.explain("set", c.writing.set(t)) }

// A deadline is a time that may move while somebody waits for it.
type deadline struct {
	mu      sync.Mutex
	ctx     context.Context // ends when the time has come, and when it moves
	cancel  context.CancelFunc
	stopped bool
	moved   func(time.Time) error // told of every move; nil is nobody
}

func newDeadline() *deadline {
	d := &deadline{}
	_ = d.set(time.Time{})
	return d
}

// set moves it; zero is never.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return net.ErrClosed
	}
	if d.cancel != nil {
		d.cancel()
	}
	if d.moved != nil {
		_ = d.moved(t) // fails when what it moves is closed, which its user learns there
	}
	if t.IsZero() {
		d.ctx, d.cancel = context.WithCancel(context.Background())
	} else {
		d.ctx, d.cancel = context.WithDeadline(context.Background(), t)
	}
	return nil
}

// stop ends it for good, and leaves no timer.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.cancel()
}

func (d *deadline) get() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

// passed reports whether it has come, and the connection was not closed.
func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.stopped && errors.Is(d.ctx.Err(), context.DeadlineExceeded)
}

// waiting is what an operation on a stream waits for.
type waiting struct {
	changed <-chan struct{}
	until   time.Duration // until the next piece arrives, if it is on its way
}

// wait waits until it is worth trying again, or too late.
func (w waiting) wait(d *deadline) {
	var arrival <-chan time.Time
	if w.until > 0 {
		timer := time.NewTimer(w.until)
		defer timer.Stop()
		arrival = timer.C
	}
	select {
	case <-w.changed:
	case <-arrival:
	case <-d.get().Done(): // come, or moved
	}
}
