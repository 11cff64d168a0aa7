package session

import (
	"context"
	"io"
	"time"

	"github.com/rexec/rex/proto"
)

// Peer is who is at the other end of a session, as the transport proved it.
type Peer struct {
	User string // the account; empty if the transport does not know one
	Addr string // for logs
	// Login is what the transport proved and granted, for the Handler; nil if it
	// has nothing to say.
	Login any
}

// A Handler starts commands for a [Server]. Start is called from one goroutine
// per command; it may block, for example on a dead mount.
//
// To refuse, it returns a [*Refusal] or a [proto.Code]. If it panics the command
// is refused with start_failed, the log gets the stack, and the session goes
// on; what Start had begun is then its own loss. Once it returned a Process the
// server calls Wait once, closes Stdin, Stdout and Stderr, and at last calls
// Release. A panic of a Process is not contained.
type Handler interface {
	Start(ctx context.Context, req *Request) (Process, error)
}

// A PassingHandler is a Handler that can also give a command descriptors of its
// client, which are the numbers of open descriptors in this process, closed on
// exec: files[i] becomes the command's descriptor i, -1, of the first three, is
// /dev/null, and a number may come twice. They belong to StartPassed, which
// closes each of them once the command has it, or never will; it changes
// nothing else of them. The Process has no Stdin, Stdout and Stderr.
//
// With any other Handler such commands are refused with unsupported, after which
// a [Client] uses streams.
type PassingHandler interface {
	Handler
	StartPassed(ctx context.Context, req *Request, files []int) (Process, error)
}

// A Request describes one command.
type Request struct {
	Peer Peer
	// One of Argv (an exact vector), Line (for the login shell) and Subsystem
	// is set, or none: the login shell itself. Line may be empty when IsLine.
	Argv      []string
	Path      string // the program where it is not Argv[0]; empty otherwise
	Line      string
	IsLine    bool
	Subsystem string
	Env       []string // what the client asks for; the handler decides
	Dir       string   // relative to the home directory; empty is the home
	Term      *Term    // not nil: run it on a pty
	// Which streams the client opened, or descriptors it passed. What it did not
	// is /dev/null.
	Stdin, Stdout, Stderr bool
	// MergeStderr puts stderr on the same pipe as stdout.
	MergeStderr bool
	Orphan      Orphan
}

// Name is what the request runs, for logs and messages.
func (r *Request) Name() string {
	switch {
	case r.Path != "":
		return r.Path
	case len(r.Argv) > 0:
		return r.Argv[0]
	case r.IsLine:
		return r.Line
	case r.Subsystem != "":
		return r.Subsystem
	}
	return "login shell"
}

// A Process is a running command. Its methods may be called concurrently.
type Process interface {
	// Pid is the process id.
	Pid() int
	// DroppedEnv names the variables of Request.Env that were not passed on.
	DroppedEnv() []string
	// Stdin is the writing end of the command's stdin, nil if it has none.
	// Closing it is the end of input.
	Stdin() io.WriteCloser
	// Stdout and Stderr are the reading ends, nil if there is none. Closing
	// one breaks the command's pipe.
	Stdout() Output
	Stderr() Output
	// Signal sends a signal by its name without SIG.
	Signal(name string, to Target) error
	// Resize changes the size of the terminal.
	Resize(rows, cols uint16) error
	// Wait waits for the end of the command's own process. An error says that
	// its end was not seen.
	Wait() (Exit, error)
	// Hangup takes the terminal away, as if its line had dropped; without a
	// terminal it does nothing.
	Hangup() error
	// End ends the whole tree in an orderly way, by force after a while, and
	// returns when nothing is left.
	End(ctx context.Context) error
	// Kill ends the whole tree at once, and returns when nothing is left.
	Kill() error
	// Release frees what belongs to the command. What it left running in the
	// background is not touched.
	Release() error
}

// A Bounded is a Process that may have to end before its client wants it to,
// because the handler's owner set a limit. The server ends the tree as after a
// timeout of the client's once Exceeded, which does not change, gives how: the
// How of the record, [proto.HowTimeout] or [proto.HowKilled].
type Bounded interface {
	Process
	Exceeded() <-chan proto.How
}

// An Output is a stream that a command writes. WaitReadable blocks until Read
// would not, so that no buffer is held meanwhile. After SetReadDeadline it
// returns [os.ErrDeadlineExceeded] when the time has come and nothing is there
// to be read; the zero time is no deadline, and is set again before Read.
type Output interface {
	io.ReadCloser
	WaitReadable() error
	SetReadDeadline(time.Time) error
}

// Exit says how a command's own process ended.
type Exit struct {
	Code       int
	Signal     *proto.SignalInfo // nil if it exited by itself
	Core       bool
	UserTime   time.Duration
	SystemTime time.Duration
	MaxRSS     int64 // bytes
	Started    time.Time
	Ended      time.Time
}
