package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/rexec/rex/mux"
)

// chunk is how much the copies move at once: a frame of the streams, which with
// the headers around it is what a pipe holds.
const chunk = mux.FrameSize

// chunks are the buffers of all copies of this process. Copies take one only
// while there is something to carry.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// receiver is an output stream of a command at the client. It knows whether it
// was read to its end or given up.
type receiver struct {
	*mux.ReceiveStream

	reading atomic.Bool // inside Read
	mark    uint64      // silent: what had come the last time

	mu      sync.Mutex
	eof     bool
	overdue bool // the server did not end it
	stopped bool
}

func openReceiver(ctx context.Context, m *mux.Session) (*receiver, error) {
	s, err := m.OpenReceive(ctx)
	if err != nil {
		return nil, err
	}
	return &receiver{ReceiveStream: s}, nil
}

func (r *receiver) id() uint32 {
	if r == nil {
		return 0
	}
	return r.ID()
}

// Read reads, and notes the end of the stream.
func (r *receiver) Read(p []byte) (int, error) {
	r.reading.Store(true)
	defer r.reading.Store(false)
	n, err := r.ReceiveStream.Read(p)
	if err == io.EOF {
		r.mu.Lock()
		r.eof = true
		r.mu.Unlock()
	}
	return n, err
}

// stop ends the stream; the command gets a broken pipe if it still writes.
func (r *receiver) stop() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.stopped = r.stopped || !r.eof
	r.mu.Unlock()
	_ = r.CancelRead()
}

// silent reports whether a Read waits and nothing came since the last call.
func (r *receiver) silent() bool {
	before := r.mark
	r.mark = r.Received()
	return r.reading.Load() && r.mark == before
}

// giveUp ends a stream that the server should have ended.
func (r *receiver) giveUp() {
	r.mu.Lock()
	r.overdue = !r.eof
	r.mu.Unlock()
	_ = r.CancelRead()
}

// isOverdue reports whether the server did not end the stream.
func (r *receiver) isOverdue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overdue
}

// wasStopped reports whether reading was given up before the end.
func (r *receiver) wasStopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

// copyOut copies one output stream to the caller's writer. When the writer
// fails the stream is stopped, so that the command sees a broken pipe.
func (r *running) copyOut(w io.Writer, s *receiver) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		n, err := s.Read(buf[:])
		if err != nil {
			return // the end, or lost: the counts tell
		}
		if err := writeAll(w, buf[:n]); err != nil {
			r.noteCopyError(err)
			s.stop()
			return
		}
	}
}

func writeAll(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

func (r *running) noteCopyError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copyErr == nil {
		r.copyErr = err
	}
}

// copyIn copies the caller's Stdin to the command.
func (r *running) copyIn() {
	var err error
	if r.file != nil {
		err = r.copyFile(r.file)
	} else {
		err = r.copyReader(r.cmd.Stdin)
	}
	if err == nil {
		_ = r.stdin.CloseWrite() // fails only with the session, which is seen elsewhere
		return
	}
	if errors.Is(err, errNoReader) {
		r.stdin.CancelWrite()
		return
	}
	// Closing the stream would tell the command that this was all. It must
	// not act on a part.
	r.mu.Lock()
	r.readErr = fmt.Errorf("session: reading Stdin: %w", err)
	r.mu.Unlock()
	r.stdin.CancelWrite()
	<-r.begun
	_ = r.signal("KILL", ToTree)
}

// errNoReader says that the command takes no more input, which is its right.
var errNoReader = errors.New("session: nobody reads")

// copyReader copies until the reader's end or the stream's.
func (r *running) copyReader(from io.Reader) error {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		n, err := from.Read(buf[:])
		if n > 0 {
			if _, err := r.stdin.Write(buf[:n]); err != nil {
				return errNoReader
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// StdinPipe returns a pipe to the command's stdin. Closing it is the end of
// input; Wait closes it once the command exited. It is written after Start.
// Write and Close may be called concurrently.
func (c *Cmd) StdinPipe() (io.WriteCloser, error) {
	switch {
	case c.Stdin != nil || c.stdinPipe != nil:
		return nil, errors.New("session: Stdin already set")
	case c.run != nil:
		return nil, errors.New("session: StdinPipe after process started")
	}
	c.stdinPipe = &stdinPipe{}
	return c.stdinPipe, nil
}

// StdoutPipe returns a pipe from the command's stdout. It is read after Start
// and before Wait, which closes it once the command exited. A read returns
// io.EOF only if the command's output really ended there.
func (c *Cmd) StdoutPipe() (io.ReadCloser, error) {
	switch {
	case c.Stdout != nil || c.stdoutPipe != nil:
		return nil, errors.New("session: Stdout already set")
	case c.run != nil:
		return nil, errors.New("session: StdoutPipe after process started")
	}
	c.stdoutPipe = &outputPipe{}
	return c.stdoutPipe, nil
}

// StderrPipe is like [Cmd.StdoutPipe] for stderr.
func (c *Cmd) StderrPipe() (io.ReadCloser, error) {
	switch {
	case c.Stderr != nil || c.stderrPipe != nil:
		return nil, errors.New("session: Stderr already set")
	case c.run != nil:
		return nil, errors.New("session: StderrPipe after process started")
	}
	c.stderrPipe = &outputPipe{}
	return c.stderrPipe, nil
}

// closePipes closes the caller's ends of pipes when the command has ended or
// was not started.
func (c *Cmd) closePipes() {
	if c.stdinPipe != nil {
		c.stdinPipe.cancel()
	}
	for _, p := range []*outputPipe{c.stdoutPipe, c.stderrPipe} {
		if p != nil {
			_ = p.Close()
		}
	}
}

// stdinPipe is the pipe of StdinPipe.
type stdinPipe struct {
	mu     sync.Mutex
	stream *mux.SendStream
	closed bool
}

func (p *stdinPipe) attach(s *mux.SendStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream = s
	if p.closed {
		_ = s.CloseWrite()
	}
}

func (p *stdinPipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	s, closed := p.stream, p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return 0, os.ErrClosed
	case s == nil:
		return 0, errors.New("session: write to StdinPipe before Start")
	}
	n, err := s.Write(b)
	switch {
	case errors.Is(err, mux.ErrStopped):
		err = fmt.Errorf("session: write to stdin: %w", syscall.EPIPE)
	case errors.Is(err, mux.ErrCanceled):
		err = os.ErrClosed
	case err != nil:
		err = connLost(err)
	}
	return n, err
}

// shut marks the pipe closed and returns the stream, nil before Start; again
// reports whether it was closed before.
func (p *stdinPipe) shut() (s *mux.SendStream, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again = p.closed
	p.closed = true
	return p.stream, again
}

// cancel closes the pipe when nobody will read it any more. It does not wait
// for a Write that waits for a reader, but makes it fail.
func (p *stdinPipe) cancel() {
	if s, _ := p.shut(); s != nil {
		s.CancelWrite()
	}
}

func (p *stdinPipe) Close() error {
	s, again := p.shut()
	if again {
		return os.ErrClosed
	}
	if s == nil {
		return nil
	}
	if err := s.CloseWrite(); err != nil && !errors.Is(err, mux.ErrStopped) && !errors.Is(err, mux.ErrCanceled) {
		return connLost(err)
	}
	return nil
}

// outputPipe is the pipe of StdoutPipe and StderrPipe.
type outputPipe struct {
	mu     sync.Mutex
	stream *receiver
	empty  bool // there is no such output
	closed bool
}

func (p *outputPipe) attach(s *receiver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream = s
	if p.closed {
		s.stop()
	}
}

// attachNothing makes the pipe that of an output which does not exist: stderr
// of a terminal.
func (p *outputPipe) attachNothing() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = true
}

func (p *outputPipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	s, closed, empty := p.stream, p.closed, p.empty
	p.mu.Unlock()
	switch {
	case closed:
		return 0, os.ErrClosed
	case empty:
		return 0, io.EOF
	case s == nil:
		return 0, errors.New("session: read from a pipe before Start")
	}
	n, err := s.Read(b)
	switch {
	case err == nil, errors.Is(err, io.EOF):
	case errors.Is(err, mux.ErrCanceled):
		err = os.ErrClosed
	default:
		err = connLost(err)
	}
	return n, err
}

func (p *outputPipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	p.closed = true
	if p.stream != nil {
		p.stream.stop()
	}
	return nil
}

// headTail keeps the first and the last 32 KiB of what is written to it, for
// ExitError.Stderr.
type headTail struct {
	head, tail []byte
	skipped    int64
}

const headTailSize = 32 << 10

func (h *headTail) Write(p []byte) (int, error) {
	n := len(p)
	room := min(headTailSize-len(h.head), len(p))
	h.head = append(h.head, p[:room]...)
	h.tail = append(h.tail, p[room:]...)
	if over := len(h.tail) - headTailSize; over > 0 {
		h.skipped += int64(over)
		h.tail = append(h.tail[:0], h.tail[over:]...)
	}
	return n, nil
}

func (h *headTail) bytes() []byte {
	if h.skipped == 0 {
		return append(h.head, h.tail...)
	}
	gap := fmt.Sprintf("\n... omitting %d bytes ...\n", h.skipped)
	return append(append(h.head, gap...), h.tail...)
}
