//go:build unix

package execd

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Limits bound what one client of a [Service] can take. 0 is none.
type Limits struct {
	// Idle is how long no byte may move in any direction, Total how long the
	// program may run. The record's How is then "timeout".
	Idle, Total time.Duration
	// Input and Output are how many bytes the client may send, and the program
	// may write to stdout and stderr. What would exceed them is not passed on,
	// and the record's How is then "killed".
	Input, Output int64
}

// errExceeded ends a stream that has reached a limit.
var errExceeded = errors.New("execd: a limit of the service is reached")

// A bounded process ends at the limits of its service. Its timers end with
// Release.
type bounded struct {
	session.Process
	limits   Limits
	log      *slog.Logger
	exceeded chan proto.How

	began   time.Time
	moved   atomic.Int64 // when a byte last did, since began
	in, out atomic.Int64 // bytes
	said    sync.Once

	mu          sync.Mutex
	total, idle *time.Timer // nil without such a limit
	released    bool
}

// withLimits applies the limits to a process that was just started.
func withLimits(p session.Process, limits Limits, log *slog.Logger) session.Process {
	if limits == (Limits{}) {
		return p
	}
	b := &bounded{Process: p, limits: limits, log: log.With("pid", p.Pid()), exceeded: make(chan proto.How, 1), began: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if limits.Total > 0 {
		b.total = time.AfterFunc(limits.Total, func() { b.exceed(proto.HowTimeout, "timeout") })
	}
	if limits.Idle > 0 {
		b.idle = time.AfterFunc(limits.Idle, b.checkIdle)
	}
	return b
}

// Exceeded implements [session.Bounded].
func (b *bounded) Exceeded() <-chan proto.How { return b.exceeded }

// exceed says once what is too much.
func (b *bounded) exceed(how proto.How, limit string) {
	b.said.Do(func() {
		b.exceeded <- how
		b.log.Warn("a limit of the service is reached", "limit", limit)
	})
}

// checkIdle looks again when the process could have been idle for too long.
func (b *bounded) checkIdle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.limits.Idle - (time.Since(b.began) - time.Duration(b.moved.Load()))
	switch {
	case b.released:
	case left > 0:
		b.idle.Reset(left)
	default:
		b.exceed(proto.HowTimeout, "idle")
	}
}

// move notes n bytes, and reports whether they are within the limit.
func (b *bounded) move(count *atomic.Int64, n int, most int64, limit string) bool {
	if n > 0 {
		b.touch()
	}
	if sum := count.Add(int64(n)); most > 0 && sum > most {
		b.exceed(proto.HowKilled, limit)
		return false
	}
	return true
}

// touch notes that bytes have moved.
func (b *bounded) touch() { b.moved.Store(int64(time.Since(b.began))) }

// Release implements [session.Process].
func (b *bounded) Release() error {
	b.mu.Lock()
	b.released = true
	for _, t := range []*time.Timer{b.total, b.idle} {
		if t != nil {
			t.Stop()
		}
	}
	b.mu.Unlock()
	return b.Process.Release()
}

// Stdin implements [session.Process].
func (b *bounded) Stdin() io.WriteCloser {
	if w := b.Process.Stdin(); w != nil {
		return &boundedInput{w, b}
	}
	return nil
}

// Stdout implements [session.Process].
func (b *bounded) Stdout() session.Output { return b.output(b.Process.Stdout()) }

// Stderr implements [session.Process].
func (b *bounded) Stderr() session.Output { return b.output(b.Process.Stderr()) }

func (b *bounded) output(o session.Output) session.Output {
	if o == nil {
		return nil
	}
	return &boundedOutput{o, b}
}

type boundedInput struct {
	io.WriteCloser
	process *bounded
}

func (i *boundedInput) Write(p []byte) (int, error) {
	if b := i.process; !b.move(&b.in, len(p), b.limits.Input, "max_input") {
		return 0, errExceeded
	}
	n, err := i.WriteCloser.Write(p)
	i.process.touch() // it was taken only now
	return n, err
}

type boundedOutput struct {
	session.Output
	process *bounded
}

func (o *boundedOutput) Read(p []byte) (int, error) {
	n, err := o.Output.Read(p)
	if b := o.process; !b.move(&b.out, n, b.limits.Output, "max_output") {
		return 0, errExceeded
	}
	return n, err
}

var _ session.Bounded = (*bounded)(nil)
