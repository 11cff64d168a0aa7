package session

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rexec/rex/mux"
)

// outPump carries one output of a command to its stream. Its goroutine ends at
// the end of the output, or when the output is closed or given up.
type outPump struct {
	out    Output
	stream *mux.SendStream // nil: the output is discarded
	kept   func() bool     // the command is to go on although nobody reads
	done   chan struct{}

	// abandoned is set before done is closed: the drain time ran out.
	abandoned bool
	// complete is set before the stream is ended: the output came to its end.
	// The client answers that end as it would stop the stream.
	complete atomic.Bool

	mu       sync.Mutex
	draining bool
	left     time.Duration // of the drain time
}

// startOutPump starts a pump; it returns nil if there is no output. Without a
// stream, as for a terminal whose output nobody wants, the output is discarded.
func startOutPump(out Output, stream *mux.SendStream, kept func() bool) *outPump {
	if out == nil {
		return nil
	}
	p := &outPump{out: out, stream: stream, kept: kept, done: make(chan struct{})}
	go p.run()
	return p
}

// run copies until the end. When the stream is lost it goes on reading, so
// that the command does not stand still, or fall, while its policy is applied.
//
// At its end the output stays open until close: a command that closes its
// terminal before it exits would be hung up on its way out.
func (p *outPump) run() {
	defer close(p.done)
	defer p.finish()
	lost := p.stream == nil
	for {
		err := p.wait()
		p.abandoned = errors.Is(err, os.ErrDeadlineExceeded)
		if err == nil {
			err = p.carry(&lost)
		}
		switch {
		case err == io.EOF:
			p.complete.Store(true)
			return
		case err != nil:
			_ = p.out.Close()
			return
		}
	}
}

// carry moves one buffer. It holds it only for as long as there is something
// in it.
func (p *outPump) carry(lost *bool) error {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	n, err := p.out.Read(buf[:])
	if n > 0 && !*lost {
		_, werr := p.stream.Write(buf[:n])
		if errors.Is(werr, mux.ErrStopped) && !p.kept() {
			return werr // closing the output breaks the command's pipe
		}
		*lost = werr != nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // drain came between wait and Read: wait again
	}
	return err
}

// finish ends the stream: the end of the output, but after a loss, when nobody
// is there to be told.
func (p *outPump) finish() {
	if p.stream != nil {
		_ = p.stream.CloseWrite()
	}
}

// wait waits for output, within what is left of the drain time.
func (p *outPump) wait() error {
	p.mu.Lock()
	draining, left := p.draining, p.left
	p.mu.Unlock()
	if !draining {
		err := p.out.WaitReadable()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return p.ready(err)
		}
		return p.wait() // drain came meanwhile; its deadline was for us to notice
	}
	start := time.Now()
	if err := p.out.SetReadDeadline(start.Add(left)); err != nil {
		return err
	}
	err := p.out.WaitReadable()
	p.mu.Lock()
	p.left = max(p.left-time.Since(start), 0)
	p.mu.Unlock()
	return p.ready(err)
}

// ready takes the deadline away again, so that Read is not refused.
func (p *outPump) ready(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.draining {
		err = p.out.SetReadDeadline(time.Time{})
	}
	return err
}

// drain bounds how long the pump waits from now on for an output that is
// silent. Only silence counts.
func (p *outPump) drain(d time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		d = min(d, p.left)
	}
	p.draining, p.left = true, d
	_ = p.out.SetReadDeadline(time.Now()) // wakes the wait, which then counts itself
}

// close breaks the command's pipe.
func (p *outPump) close() {
	if p != nil {
		_ = p.out.Close()
	}
}

// sent is how many bytes of the output went out.
func (p *outPump) sent() uint64 {
	if p == nil || p.stream == nil {
		return 0
	}
	return p.stream.Sent()
}

// ended is closed when the pump has ended; for a missing one at once.
func (p *outPump) ended() <-chan struct{} {
	if p == nil {
		return closedChan
	}
	return p.done
}

// stopped is closed when the client no longer reads.
func (p *outPump) stopped() <-chan struct{} {
	if p == nil || p.stream == nil {
		return nil
	}
	return p.stream.Stopped()
}

func (p *outPump) gaveUp() bool { return p != nil && p.abandoned }

var closedChan = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// inPump carries a stream to the command's stdin. Only a FIN of the stream
// closes stdin: when the session is lost, stdin stays open until the command's
// end, so that a part is never taken for the whole. Its goroutine ends at the
// end of the stream or when the command no longer reads.
type inPump struct {
	stream *mux.ReceiveStream
	stdin  io.WriteCloser
	done   chan struct{}
	taken  atomic.Uint64
}

func startInPump(stream *mux.ReceiveStream, stdin io.WriteCloser) *inPump {
	if stream == nil || stdin == nil {
		return nil
	}
	p := &inPump{stream: stream, stdin: stdin, done: make(chan struct{})}
	go p.run()
	return p
}

// run copies with a small buffer while little comes, as from a terminal, and
// with a large one for bulk.
func (p *inPump) run() {
	defer close(p.done)
	var small [4 << 10]byte
	var large *[chunk]byte
	defer func() { putChunk(large) }()
	for {
		buf := small[:]
		if large != nil {
			buf = large[:]
		}
		n, err := p.stream.Read(buf)
		if err == io.EOF {
			_ = p.stdin.Close()
			return
		}
		if err != nil {
			return // lost, or the command has ended
		}
		m, err := p.stdin.Write(buf[:n])
		p.taken.Add(uint64(m))
		if err != nil {
			p.refuse(err)
			return
		}
		switch {
		case large == nil && n == len(small):
			large = chunks.Get().(*[chunk]byte)
		case large != nil && n < len(small):
			putChunk(large)
			large = nil
		}
	}
}

func putChunk(c *[chunk]byte) {
	if c != nil {
		chunks.Put(c)
	}
}

// refuse tells the client that nobody reads. A terminal that is gone says EIO.
func (p *inPump) refuse(err error) {
	_ = p.stream.CancelRead()
	if errors.Is(err, syscall.EPIPE) {
		_ = p.stdin.Close()
	}
}

// stop ends the pump at the end of the command.
func (p *inPump) stop() {
	if p == nil {
		return
	}
	_ = p.stream.CancelRead()
	_ = p.stdin.Close()
	<-p.done
}

func (p *inPump) bytes() uint64 {
	if p == nil {
		return 0
	}
	return p.taken.Load()
}
