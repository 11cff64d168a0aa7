//go:build unix

package process

import "errors"

// Codes of a StartError.
const (
	// CodeNotFound: no such program, or its interpreter is missing.
	CodeNotFound = "not_found"
	// CodeNotExecutable: the file exists but cannot be executed by this user, or
	// is no program.
	CodeNotExecutable = "not_executable"
	// CodeIsDirectory: the program is a directory.
	CodeIsDirectory = "is_directory"
	// CodeTooBig: arguments and environment exceed the kernel's limit (E2BIG).
	CodeTooBig = "too_big"
	// CodeNoDirectory: the working directory does not exist or is none.
	CodeNoDirectory = "no_directory"
	// CodePermissionDenied: a directory on the way may not be entered.
	CodePermissionDenied = "permission_denied"
	// CodeStartFailed: anything else, such as a lack of descriptors or processes.
	CodeStartFailed = "start_failed"
	// CodeStartTimeout: the start hung and was given up. If it succeeds later,
	// the command is killed.
	CodeStartTimeout = "start_timeout"
	// CodeInvalid: the Spec can be given to no kernel: a NUL byte, an empty argv.
	CodeInvalid = "invalid"
)

// StartError is why Start did not start a command. Nothing was started.
type StartError struct {
	Code string // one of the Code constants
	Err  error  // the cause, never nil; often a syscall.Errno underneath
}

func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

func startError(code string, err error) *StartError { return &StartError{Code: code, Err: err} }

var (
	// ErrUnknownSignal is returned by Signal for a name that this system has not.
	ErrUnknownSignal = errors.New("unknown signal")
	// ErrReleased is returned by every way to reach a command after Release.
	ErrReleased = errors.New("process was released")
	// ErrFateUnknown is wrapped by Wait's error: the command's status was lost,
	// because its keeper died or something else in this program waited for it.
	// Kill still reaches what can be found.
	ErrFateUnknown = errors.New("the command's fate is unknown")
	// ErrStillAlive is wrapped by the error of Kill and End when processes do
	// not die of SIGKILL in time, as in an uninterruptible sleep. Calling again
	// tries again.
	ErrStillAlive = errors.New("processes survive SIGKILL")
	// ErrNoTerm is returned by Resize for a command without a terminal.
	ErrNoTerm = errors.New("command has no terminal")
)
