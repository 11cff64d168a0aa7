package cli

import (
	"time"

	"github.com/rexec/rex/session"
)

// What a ladder hears of.
type event int

const (
	eventInterrupt event = iota // SIGINT, Ctrl-C without a pty
	eventTerminate              // SIGTERM
	eventHangup                 // SIGHUP
	eventQuit                   // SIGQUIT
	eventTimeout                // the time that a step named has passed
)

// A step is what to do next to a command that is to end.
type step struct {
	signal string // for the command, empty for none
	to     session.Target
	giveUp bool          // leave it to the daemon and its orphan policy
	after  time.Duration // hear eventTimeout then; 0 is never
	say    string        // a warning
}

// endTime is how long a command has between the signal that rex passes on and
// SIGKILL, and the daemon between that and being left to itself.
const endTime = 5 * time.Second

// A ladder decides what the signals that rex gets do to the command. SIGINT
// goes to its process group and is the user's to repeat: SIGTERM the second
// time, the third time rex gives up. Signals that end rex go to everything the
// command has started, with SIGKILL 5 s later or at the second signal; rex
// gives up another 5 s later, so that it ends even if nobody answers.
type ladder struct {
	keep       bool // orphan policy keep: SIGHUP only detaches
	interrupts int
	endings    int // steps of the way down to giving up
}

func (l *ladder) take(e event) step {
	switch {
	case e == eventInterrupt:
		l.interrupts++
		return l.interrupted()
	case e == eventTimeout && l.endings == 0:
		return step{}
	case e == eventHangup && l.keep:
		return step{giveUp: true}
	}
	l.endings++
	switch l.endings {
	case 1:
		names := map[event]string{eventTerminate: "TERM", eventHangup: "HUP", eventQuit: "QUIT"}
		return step{signal: names[e], to: session.ToTree, after: endTime}
	case 2:
		return step{signal: "KILL", to: session.ToTree, after: endTime}
	}
	return step{giveUp: true}
}

func (l *ladder) interrupted() step {
	switch l.interrupts {
	case 1:
		return step{signal: "INT", to: session.ToGroup}
	case 2:
		return step{signal: "TERM", to: session.ToGroup, say: "the command got SIGTERM; interrupt once more to leave it to the daemon"}
	}
	return step{giveUp: true}
}
