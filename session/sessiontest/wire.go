package sessiontest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A wire is a connection over loopback that carries one between processes: it
// sends, and feeds the stream that is read here. A link's faults act on that
// stream, so each process has them act on what it receives.
type wire struct {
	tcp    *net.TCPConn
	link   *link
	in     *stream
	fed    chan struct{} // closed when feed has ended
	unread bool          // by then: feed had bytes that nobody took
	ended  atomic.Bool   // nothing more is sent
	closed atomic.Bool   // by its user, and not by a reset
}

// attach makes a connection of the network out of one over loopback, which it
// closes if the network is over. A goroutine feeds it, which ends with either.
// free, which may be nil, is called when the connection is closed.
func (n *Network) attach(tcp *net.TCPConn, l *link, local, remote Addr, free func()) (*conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isOver() {
		_ = tcp.Close()
		return nil, net.ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &wire{tcp: tcp, link: l, in: newStream(l.faults), fed: make(chan struct{})}
	c := newConn(l, local, remote, w.in, w)
	c.free = free
	c.writing.moved = tcp.SetWriteDeadline
	l.conns[c] = struct{}{}
	n.member.running.Go(w.feed)
	return c, nil
}

// feed takes what the peer sends, as long as there is room for it.
func (w *wire) feed() {
	defer close(w.fed)
	never := newDeadline()
	defer never.stop()
	buf := make([]byte, 32<<10)
	for {
		n, err := w.tcp.Read(buf)
		if n > 0 {
			if _, err := w.in.write(buf[:n], never); err != nil {
				w.unread = true
				w.in.tell()
				if !w.closed.Load() {
					w.broke() // the link has dropped it
				}
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			w.in.end()
			return
		case err != nil:
			w.in.broke()
			return
		}
	}
}

// write implements sender.
func (w *wire) write(p []byte, d *deadline) (int, error) {
	if w.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err := w.tcp.Write(p)
	switch {
	case err == nil:
		return n, nil
	case w.closed.Load():
		return n, net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, os.ErrDeadlineExceeded
	}
	return n, w.afterMending(cause(err), d)
}

// afterMending returns the error of a peer that has gone, when the news can
// arrive.
func (w *wire) afterMending(gone error, d *deadline) error {
	for {
		state, changed := w.link.state()
		switch {
		case w.closed.Load():
			return net.ErrClosed
		case d.passed():
			return os.ErrDeadlineExceeded
		case !state.Cut:
			return gone
		}
		waiting{changed: changed}.wait(d)
	}
}

// cause is what is wrong with a connection over loopback, without its addresses.
// One that this process has closed was reset.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, net.ErrClosed) {
		return syscall.ECONNRESET
	}
	return err
}

// end implements sender.
func (w *wire) end() bool {
	if w.ended.Swap(true) {
		return false
	}
	_ = w.tcp.CloseWrite() // fails if there is no peer any more, which its reader learns
	return true
}

// close implements sender.
func (w *wire) close(lost bool) {
	w.closed.Store(true)
	w.ended.Store(true)
	_ = w.tcp.SetReadDeadline(time.Unix(1, 0))
	w.in.change(func() { w.in.ended = true })
	<-w.fed // it waits for bytes or for room, and neither comes any more
	if lost || w.unread {
		w.broke()
	}
	_ = w.tcp.Close()
}

// broke implements sender: the kernel resets what is closed so.
func (w *wire) broke() {
	_ = w.tcp.SetLinger(0)
	_ = w.tcp.Close()
}

// settle implements sender: it is the receiver of a wire who drops.
func (w *wire) settle(*stream) {}
