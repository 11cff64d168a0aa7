package cli

import (
	"errors"
	"fmt"
)

// errConnectTimeout ends the start when ConnectTimeout has passed.
var errConnectTimeout = errors.New("no answer in time")

// The ways in which rex itself fails, as the status file names them.
const (
	howUsage   = "usage"   // the command line is wrong, or asks for what this version cannot do
	howLogin   = "login"   // no connection to the daemon, or it did not let the user in
	howRefused = "refused" // the daemon did not start the command
	howLost    = "lost"    // the command was started, or may have been, and its end is unknown
)

// statusOwn is the exit status of every failure of rex's own, as with ssh.
const statusOwn = 255

// A failure is an error of rex itself, as opposed to a status of the command.
// A failure that a user can cause has a hint.
type failure struct {
	how    string // empty: as the daemon's record has it
	status int
	msg    string // lower case, no full stop; shown escaped
	hint   string // what to type next
}

func (f *failure) Error() string { return f.msg }

// withHint adds the command to type.
func (f *failure) withHint(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

func fail(how, format string, args ...any) *failure {
	return &failure{how: how, status: statusOwn, msg: fmt.Sprintf(format, args...)}
}

// usage is a mistake on the command line.
func usage(format string, args ...any) *failure {
	return fail(howUsage, format, args...).withHint("rex help")
}

// notYet refuses what belongs to a later version, where going on without it
// would mislead.
func notYet(what, hint string, args ...any) *failure {
	return fail(howUsage, "%s not in this version", what).withHint(hint, args...)
}
