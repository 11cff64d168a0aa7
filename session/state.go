package session

import (
	"fmt"
	"time"

	"github.com/rexec/rex/proto"
)

// The parts of messages that callers meet.
type (
	// Term describes the terminal of a command that runs on a pty.
	Term = proto.Term
	// Orphan says what the server does with a command whose session ended
	// before it did.
	Orphan = proto.Orphan
	// Target says which processes of a command a signal is for.
	Target = proto.Target
	// Record is the server's end record of a command.
	Record = proto.Ended
)

// Orphan policies and signal targets.
const (
	OrphanKill = proto.OrphanKill // end the whole tree: HUP, TERM, 5 s, KILL
	OrphanKeep = proto.OrphanKeep // let it run, discard its output

	ToProcess = proto.ToProcess // the command's own process
	ToGroup   = proto.ToGroup   // its process group
	ToTree    = proto.ToTree    // everything it started
)

// ProcessState describes a command that ended. It has the methods of
// [os.ProcessState], and the server's record.
type ProcessState struct {
	pid    int
	record Record
}

// Pid returns the process id at the server.
func (p *ProcessState) Pid() int { return p.pid }

// Exited reports whether the command exited by itself, and not by a signal.
func (p *ProcessState) Exited() bool { return p.record.Signal == nil && p.record.How != proto.HowLost }

// Success reports whether the command exited by itself with status 0.
func (p *ProcessState) Success() bool {
	return p.record.How == proto.HowExited && p.record.Signal == nil && p.record.Code == 0
}

// ExitCode returns the exit status, or -1 if a signal ended the command or its
// end is unknown.
func (p *ProcessState) ExitCode() int {
	if !p.Exited() {
		return -1
	}
	return int(p.record.Code)
}

// Signal returns the signal that ended the command, by its name without SIG
// and its number at the server; "" and 0 if none did.
func (p *ProcessState) Signal() (name string, number int) {
	if s := p.record.Signal; s != nil {
		return s.Name, int(s.Number)
	}
	return "", 0
}

// SystemTime returns the system CPU time of the command and its children that
// it waited for.
func (p *ProcessState) SystemTime() time.Duration { return duration(p.record.SystemTime) }

// UserTime returns the user CPU time of the command and its children that it
// waited for.
func (p *ProcessState) UserTime() time.Duration { return duration(p.record.UserTime) }

// Record returns the server's end record.
func (p *ProcessState) Record() Record { return p.record }

// String says how the command ended, as os.ProcessState does.
func (p *ProcessState) String() string {
	if p == nil {
		return "<nil>"
	}
	text := fmt.Sprintf("exit status %d", p.record.Code)
	if name, number := p.Signal(); number != 0 || name != "" {
		text = "signal: " + signalText(name, number)
		if p.record.Core {
			text += " (core dumped)"
		}
	}
	switch p.record.How {
	case proto.HowTimeout:
		text += " (timeout)"
	case proto.HowKilled:
		text += " (killed by the server)"
	case proto.HowLost:
		text = "the server lost sight of the command"
	case proto.HowExited, proto.HowSignaled:
	}
	return text
}

// signalText names a signal in the words of Unix, which os.ProcessState uses.
func signalText(name string, number int) string {
	words := map[string]string{
		"HUP": "hangup", "INT": "interrupt", "QUIT": "quit", "ILL": "illegal instruction",
		"TRAP": "trace/breakpoint trap", "ABRT": "aborted", "BUS": "bus error",
		"FPE": "floating point exception", "KILL": "killed", "USR1": "user defined signal 1",
		"SEGV": "segmentation fault", "USR2": "user defined signal 2", "PIPE": "broken pipe",
		"ALRM": "alarm clock", "TERM": "terminated",
	}
	if text, ok := words[name]; ok {
		return text
	}
	return fmt.Sprintf("signal %d", number)
}

func duration(ns uint64) time.Duration { return time.Duration(min(ns, 1<<62)) }
