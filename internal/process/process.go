//go:build unix

package process

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Output is our end of a command's stdout or stderr. One Read or WaitReadable
// at a time; Close may be called beside them and ends them with os.ErrClosed.
// The end of a terminal is io.EOF, as that of a pipe is.
type Output interface {
	io.ReadCloser
	// WaitReadable parks until a Read would not block: there is data, or the
	// end, or an error. It holds neither a buffer nor a thread meanwhile.
	WaitReadable() error
	// SetReadDeadline bounds WaitReadable: at that time it returns
	// os.ErrDeadlineExceeded if nothing is there to be read. It must be taken
	// away (the zero time) before the next Read.
	SetReadDeadline(t time.Time) error
}

// Process is one started command. Its methods may be called concurrently.
//
// Every Process must be ended by [Process.Release], or its descriptors and what holds
// its tree stay. Before that, [Process.End] or [Process.Kill] end the tree of
// a command that shall not go on.
type Process struct {
	run   runner
	std   *stdio
	grace time.Duration

	mu       sync.Mutex
	released bool
}

// Pid returns the command's process id, which is also that of its group and
// session.
func (p *Process) Pid() int { return p.run.pid() }

// Stdin returns the writing end of the command's stdin, or nil if none was
// asked for. Closing it ends the command's input.
//
// On a terminal the close writes the end-of-file character if the terminal is
// in canonical mode, twice after a partial line, and nothing in raw mode. It
// may block as a write does, until the command reads or the hangup.
func (p *Process) Stdin() io.WriteCloser { return p.std.stdin }

// Stdout returns the reading end of the command's stdout, or nil if none was
// asked for. On a terminal it carries all output, and its Close is Hangup.
func (p *Process) Stdout() Output { return p.std.stdout }

// Stderr returns the reading end of the command's stderr, or nil if none was
// asked for, it goes where stdout goes, or there is a terminal.
func (p *Process) Stderr() Output { return p.std.stderr }

// Signal sends a signal by its name without SIG, such as "TERM" or "RTMIN+3".
//
// After the command itself has ended, ToProcess and ToGroup return
// os.ErrProcessDone, because its ids may belong to others; ToTree still
// reaches what is left of the tree.
func (p *Process) Signal(name string, to Target) error {
	sig, err := signalNumber(name)
	if err != nil {
		return err
	}
	if p.isReleased() {
		return ErrReleased
	}
	return p.run.signal(sig, to)
}

// Resize sets the size of the terminal, whose foreground group gets SIGWINCH.
func (p *Process) Resize(rows, cols uint16) error {
	if p.std.term == nil {
		return ErrNoTerm
	}
	return p.std.term.resize(rows, cols)
}

// Hangup closes the master of the terminal: the session's leader and the
// foreground group get SIGHUP. Without a terminal it does nothing.
func (p *Process) Hangup() error {
	if p.std.term == nil {
		return nil
	}
	return p.std.term.hangup()
}

// Wait waits for the command itself to end and returns how it did. Its
// children may go on and hold its output open. An error means that the
// command's fate is unknown: it wraps ErrFateUnknown. Any number of callers
// may wait, also after Release.
func (p *Process) Wait() (State, error) { return p.run.wait() }

// End ends the whole tree: HUP, TERM and CONT to all of it; after Options.Grace,
// or when ctx ends, KILL until nothing but zombies is left, and then it
// returns. It returns as soon as the tree is empty. What the command wrote can
// still be read. Further calls wait for the same.
func (p *Process) End(ctx context.Context) error {
	if p.isReleased() {
		return ErrReleased
	}
	return p.run.end(ctx, p.grace)
}

// Kill sends SIGKILL to the whole tree until nothing but zombies is left, and
// then returns. It may be called while End runs. What the command wrote can
// still be read.
func (p *Process) Kill() error {
	if p.isReleased() {
		return ErrReleased
	}
	return p.run.kill()
}

// Release gives up the command: what still runs of its tree belongs to the user
// from now on and is not killed when this program or its keeper dies. It
// closes Stdin, Stdout and Stderr, so it comes after they were read to the
// end or are not wanted any more. Calling it again does nothing.
func (p *Process) Release() error {
	p.mu.Lock()
	again := p.released
	p.released = true
	p.mu.Unlock()
	if again {
		return nil
	}
	return errors.Join(p.run.release(), p.std.close())
}

func (p *Process) isReleased() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.released
}

// discard gets rid of a command whose start was given up. p may be nil.
func (p *Process) discard(log *slog.Logger) {
	if p == nil {
		return
	}
	if err := p.Kill(); err != nil {
		log.Warn("a command that started too late cannot be killed", "pid", p.Pid(), "err", err)
	}
	if err := p.Release(); err != nil {
		log.Warn("a command that started too late cannot be released", "pid", p.Pid(), "err", err)
	}
}
