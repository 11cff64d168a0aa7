//go:build linux || darwin || freebsd

package service

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rexec/rex/session"
)

// chunk is how much is moved at once: what a pipe holds.
const chunk = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// An outlet reads one output of the program to its end.
type outlet struct {
	out  session.Output
	sink func([]byte) error
	done chan struct{} // closed when nothing is read any more

	began   time.Time
	waiting atomic.Int64 // since when there is nothing to be read, after began; 0: there is
}

func newOutlet(out session.Output, sink func([]byte) error) *outlet {
	return &outlet{out: out, sink: sink, done: make(chan struct{}), began: time.Now()}
}

// run reads until the end of the output, which is io.EOF, or until it or the
// sink fails. No buffer is held while nothing comes.
func (o *outlet) run() error {
	for {
		o.waiting.Store(max(int64(time.Since(o.began)), 1))
		if err := o.out.WaitReadable(); err != nil {
			return err
		}
		o.waiting.Store(0)
		if err := o.carry(); err != nil {
			return err
		}
	}
}

func (o *outlet) carry() error {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	n, err := o.out.Read(buf[:])
	if n > 0 {
		if err := o.sink(buf[:n]); err != nil {
			return err
		}
	}
	return err
}

// settle waits for the end of the output, and returns false if it was silent
// for so long before, or ctx ended. Time in which there was something to be
// read, and the sink did not take it, does not count.
func (o *outlet) settle(ctx context.Context, silence time.Duration) bool {
	t := time.NewTimer(silence)
	defer t.Stop()
	for {
		select {
		case <-o.done:
			return true
		case <-ctx.Done():
			return false
		case <-t.C:
			silent := o.silent()
			if silent >= silence {
				return false
			}
			t.Reset(silence - silent)
		}
	}
}

func (o *outlet) silent() time.Duration {
	since := o.waiting.Load()
	if since == 0 {
		return 0
	}
	return time.Since(o.began) - time.Duration(since)
}

// send sends a part of the answer.
func (i *instance) send(b []byte) error {
	if most := i.limits.Output; most > 0 && i.out.Load()+int64(len(b)) > most {
		i.cut(&cutError{how: howOutput})
		return errCut
	}
	for {
		_ = i.conn.SetWriteDeadline(time.Now().Add(i.tick()))
		n, err := i.conn.Write(b)
		i.count(&i.out, n)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			i.lost(err)
			return err
		}
		b = b[n:]
	}
}

// tick is how often a write that is stuck looks around.
func (i *instance) tick() time.Duration {
	if idle := i.limits.Idle; idle > 0 {
		return min(idle/2, time.Second)
	}
	return time.Second
}

func (i *instance) count(bytes *atomic.Int64, n int) {
	if n > 0 {
		bytes.Add(int64(n))
		i.touch()
	}
}

// lost cuts the instance because its client is gone. A nil error is none.
func (i *instance) lost(err error) {
	if err != nil {
		i.cut(&cutError{how: howLost, err: err})
	}
}

// feed gives the program what the client sends, until the client's FIN, which
// ends stdin, or until the program reads no more. Then it looks only whether
// the client is still there.
func (i *instance) feed() {
	defer close(i.fed)
	err := i.copyIn()
	switch {
	case err == io.EOF:
		i.fin.Store(true)
		_ = i.program.Stdin().Close()
	case errors.Is(err, errRefused):
		_ = i.program.Stdin().Close()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return // stopFeeding
	default:
		i.lost(err)
		return
	}
	i.lost(awaitLoss(i.conn))
}

// copyIn copies with a small buffer while little comes, and with a large one
// for bulk. It returns why it ended.
func (i *instance) copyIn() error {
	var small [4 << 10]byte
	buf := small[:]
	var large *[chunk]byte
	defer func() { putChunk(large) }()
	for {
		n, err := i.conn.Read(buf)
		if n > 0 {
			if err := i.give(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return err
		case large == nil && n == len(small):
			large = chunks.Get().(*[chunk]byte)
			buf = large[:]
		case large != nil && n < len(small):
			putChunk(large)
			large, buf = nil, small[:]
		}
	}
}

func putChunk(c *[chunk]byte) {
	if c != nil {
		chunks.Put(c)
	}
}

// give writes to stdin. While that is stuck it looks whether the client is
// still there. It returns errRefused when the program reads no more.
func (i *instance) give(b []byte) error {
	if most := i.limits.Input; most > 0 && i.in.Load()+int64(len(b)) > most {
		i.cut(&cutError{how: howInput})
		return errCut
	}
	stdin := i.program.Stdin()
	timed, _ := stdin.(interface{ SetWriteDeadline(time.Time) error })
	for {
		if timed != nil {
			_ = timed.SetWriteDeadline(time.Now().Add(i.tick()))
		}
		n, err := stdin.Write(b)
		i.count(&i.in, n)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return errRefused
		}
		b = b[n:]
		if err := socketError(i.conn); err != nil {
			return err
		}
	}
}

// socketError is the error that a socket has met, such as a reset, without
// reading from it.
func socketError(conn net.Conn) (err error) {
	raw, ok := rawConn(conn)
	if ok {
		_ = raw.Control(func(fd uintptr) { err = pendingError(fd) })
	}
	return err
}

// awaitLoss returns the error that the socket meets, such as a reset; nil when
// its read deadline has come, or if it is none that can be watched.
func awaitLoss(conn net.Conn) (err error) {
	raw, ok := rawConn(conn)
	if ok {
		_ = raw.Read(func(fd uintptr) bool {
			err = pendingError(fd)
			return err != nil
		})
	}
	return err
}

func rawConn(conn net.Conn) (syscall.RawConn, bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := c.SyscallConn()
	return raw, err == nil
}

func pendingError(fd uintptr) error {
	code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	switch {
	case err != nil:
		return err
	case code != 0:
		return syscall.Errno(code)
	}
	return nil
}

// reset closes the connection so that its client cannot take what it got for
// the whole, where the connection knows how to say that.
func reset(conn net.Conn) {
	setLinger(conn, 0)
	_ = conn.Close()
}

// setLinger says what the end of the connection is: with 0 a reset, and with
// less what TCP does.
func setLinger(conn net.Conn, sec int) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(sec)
	}
}
