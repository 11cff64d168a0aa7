//go:build unix

package process

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Spec says what to start. Strings are byte strings: everything but NUL is
// passed on as it is.
type Spec struct {
	// Path is the program. With a slash in it, it is used as it is, relative to
	// Dir; otherwise it is looked up in the PATH of Env, as execvp(3) does.
	Path string
	// Args is the whole argument vector including argv[0]; it must not be empty.
	Args []string
	// Env is the whole environment, "key=value" each; nothing is added to it.
	Env []string
	// Dir is the working directory. Empty means that of this program.
	Dir string
	// DirOptional makes / the working directory if Dir cannot be entered.
	DirOptional bool
	// Credential is the user that the command runs as: what Dir and Path mean is
	// decided with that user's rights alone. Nil is the user of this program.
	Credential *Credential
	// Stdin, Stdout and Stderr ask for a pipe each; without one the command
	// gets /dev/null. They are ignored when Term is set, but for Term.StdoutOnly.
	Stdin, Stdout, Stderr bool
	// MergeStderr makes the command's stderr the same pipe as its stdout.
	MergeStderr bool
	// Files are numbers of descriptors of this process that become the command's
	// descriptors 0, 1, 2 and so on; -1, of the first three, is /dev/null. A number
	// may come twice. With them nothing above counts and there are no pipes.
	//
	// They belong to [Spawner.Start] once it is called, which closes each of them
	// when the command has it, or never will, and changes nothing else of them.
	Files []int
	// Term asks for a pseudo-terminal, which becomes the command's controlling
	// terminal and its descriptors 0, 1 and 2.
	Term *Term
	// Keep is the orphan policy: if this program dies while the command runs,
	// the command lives on. Otherwise it is killed then.
	Keep bool
}

// Term is the pseudo-terminal that a command runs on.
type Term struct {
	Rows, Cols uint16
	// Group is the group that may write to the terminal, tty(4), which belongs to
	// the user of Credential. 0, or no Credential, leaves it as the system made it.
	Group uint32
	// NameVar is a variable that is added to the environment with the name of the
	// terminal's device as its value. Empty: none.
	NameVar string
	// StdoutOnly makes it the command's stdout alone, for programs that hold
	// their output back where it is no terminal. It is not the controlling
	// terminal then, and Stdin, Stderr and MergeStderr of the Spec count: stdin
	// is a pipe, and as exact as one. NameVar does not count.
	StdoutOnly bool
	// Modes are terminal modes under their RFC 4254 section 8 names, such as
	// "VERASE" or "ECHO"; unknown names are ignored.
	Modes map[string]uint32
}

// Mode is the way in which a Spawner holds the process trees of its commands.
// See the package comment.
type Mode string

// The modes, strongest first.
const (
	ModeCgroup Mode = "cgroup"
	ModeKeeper Mode = "keeper"
	ModeGroup  Mode = "group"
)

// Options configures a Spawner; the zero value is usable.
type Options struct {
	// Mode demands a mode; NewSpawner fails if it is not usable. Empty chooses
	// the strongest that is.
	Mode Mode
	// Keeper is the argument vector that runs KeeperMain in this program's
	// binary, for example {"/proc/self/exe", "session"}. Empty: no keeper mode.
	Keeper []string
	// StartTimeout bounds one start, which may hang in the kernel when it
	// touches a dead network file system; 0 means 10 s.
	StartTimeout time.Duration
	// Grace is the time between TERM and KILL in Process.End; 0 means 5 s.
	Grace time.Duration
	// Log gets what is worth a line but is no error of a caller; nil discards.
	Log *slog.Logger
}

// Target says which processes a signal goes to.
type Target int

const (
	// ToProcess is the command itself.
	ToProcess Target = iota
	// ToGroup is the command's process group: what Ctrl-C in a shell reaches.
	ToGroup
	// ToTree is everything the command started that still runs, as far as the
	// Spawner's mode can see it.
	ToTree
)

// State is how a command ended and what it used.
type State struct {
	// Code is the exit code, 0 to 255, or -1 if a signal ended the command.
	Code int
	// Signal is the number of the signal that ended the command, or 0.
	Signal int
	// SignalName is that signal's name without SIG, such as "KILL" or "RTMIN+3".
	SignalName string
	// Core tells that a core was dumped.
	Core bool
	// UserTime and SystemTime are of the command and the children it waited for.
	UserTime, SystemTime time.Duration
	// MaxRSS is the largest resident set in bytes, of the command or the largest
	// child it waited for. Linux counts the image before execve(2) too, so it
	// is never less than what this program (or the keeper) used at the start.
	MaxRSS int64
	// Started and Ended are wall-clock times taken by the process that waited.
	Started, Ended time.Time
}

const (
	defaultStartTimeout = 10 * time.Second
	defaultGrace        = 5 * time.Second
)

func (o Options) withDefaults() Options {
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate refuses what the kernel's C strings cannot carry, before anything is opened.
func (s *Spec) validate() error {
	if len(s.Args) == 0 {
		return startError(CodeInvalid, errors.New("empty argument vector"))
	}
	if s.Path == "" {
		return startError(CodeNotFound, errors.New("empty program name"))
	}
	if s.Term != nil && hasNUL(s.Term.NameVar) {
		return startError(CodeInvalid, errors.New("NUL byte in the name of a variable"))
	}
	if s.Files != nil && (len(s.Files) < 3 || s.Term != nil || slices.Contains(s.Files[3:], -1)) {
		return startError(CodeInvalid, errors.New("bad list of descriptors"))
	}
	if hasNUL(s.Path) || hasNUL(s.Dir) || hasNUL(s.Args...) || hasNUL(s.Env...) {
		return startError(CodeInvalid, errors.New("NUL byte in program, arguments, environment or directory"))
	}
	return nil
}

func hasNUL(list ...string) bool {
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return true
		}
	}
	return false
}
