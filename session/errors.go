package session

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/exec"

	"github.com/rexec/rex/proto"
)

var (
	// ErrConnLost is wrapped by errors of commands whose connection ended
	// before their end record came. Their fate is unknown here; the server
	// applies their orphan policy.
	ErrConnLost = errors.New("session: connection lost")
	// ErrTruncated is wrapped by errors of commands that ended, but of whose
	// output or input bytes are missing.
	ErrTruncated = errors.New("session: bytes are missing")
	// ErrWaitDelay is [exec.ErrWaitDelay]: the command ended but its output
	// was abandoned, by Cmd.WaitDelay here or by Cmd.Drain at the server.
	ErrWaitDelay = exec.ErrWaitDelay
	// ErrNotFound is [exec.ErrNotFound]; a refusal with code not_found is it.
	ErrNotFound = exec.ErrNotFound
	// ErrClosed is returned by a Client after its Close. It is net.ErrClosed.
	ErrClosed error = closedError("session: client closed")
	// ErrServerClosed is returned by [Server.Serve] after Shutdown or Close.
	// It is net.ErrClosed.
	ErrServerClosed error = closedError("session: server closed")
)

// errInternal is what others learn of a panic.
var errInternal = errors.New("internal error of the server")

type closedError string

func (e closedError) Error() string   { return string(e) }
func (e closedError) Is(t error) bool { return t == net.ErrClosed }

// An Error says that the server refused to start a command. Nothing of it ran.
type Error struct {
	Name    string     // what was to run
	Code    proto.Code // why, for programs; errors.Is(err, proto.CodeBusy) works
	Message string     // why, for people, from the server: escape it before showing
}

func (e *Error) Error() string {
	if e.Message == "" || e.Message == e.Code.Error() {
		return fmt.Sprintf("session: %q: %v", e.Name, e.Code)
	}
	return fmt.Sprintf("session: %q: %v: %q", e.Name, e.Code, e.Message)
}

// Unwrap makes errors.Is find the code.
func (e *Error) Unwrap() error { return e.Code }

// Is makes a refusal what os/exec returns for the same: not_found is
// [ErrNotFound] and [fs.ErrNotExist], no_directory is fs.ErrNotExist, and what
// may not be executed is [fs.ErrPermission].
func (e *Error) Is(target error) bool {
	switch e.Code {
	case proto.CodeNotFound:
		return target == ErrNotFound || target == fs.ErrNotExist
	case proto.CodeNoDirectory:
		return target == fs.ErrNotExist
	case proto.CodeNotExecutable, proto.CodeIsDirectory, proto.CodePermissionDenied:
		return target == fs.ErrPermission
	default:
		return false
	}
}

// An ExitError reports that a command ran and did not succeed. It has the
// shape of [exec.ExitError].
type ExitError struct {
	*ProcessState
	// Stderr holds a part of the command's stderr if [Cmd.Output] ran it and
	// Cmd.Stderr was nil: its first and last 32 KiB.
	Stderr []byte
}

func (e *ExitError) Error() string { return e.ProcessState.String() }

// An ExitMissingError reports that a command was started, or may have been,
// and no end record of it came. It wraps [ErrConnLost] unless the server broke
// the protocol or the caller gave up.
type ExitMissingError struct {
	// Started is true if the server said that the command runs.
	Started bool
	// Exited is what the server said of the process's own end, if it did: then
	// only output and the record are missing.
	Exited *proto.Exited
	// Cause is why nothing more is known.
	Cause error
}

func (e *ExitMissingError) Error() string {
	fate := "it is unknown whether the command was started"
	switch {
	case e.Exited != nil && e.Exited.Signal != nil:
		fate = fmt.Sprintf("the command was killed by signal %q, but its end record is missing", e.Exited.Signal.Name)
	case e.Exited != nil:
		fate = fmt.Sprintf("the command exited with status %d, but its end record is missing", e.Exited.Code)
	case e.Started:
		fate = "the command was running, its end is unknown"
	}
	return fmt.Sprintf("%v: %s", e.Cause, fate)
}

// Unwrap returns the cause.
func (e *ExitMissingError) Unwrap() error { return e.Cause }

// connLost makes an error that is ErrConnLost and keeps its cause for people.
func connLost(cause error) error {
	if cause == nil {
		return ErrConnLost
	}
	return fmt.Errorf("%w: %w", ErrConnLost, cause)
}

// A Refusal is what a [Handler] returns when it does not start a command. Any
// other error of a handler is sent as start_failed with its text.
type Refusal struct {
	Code    proto.Code
	Message string
}

func (r *Refusal) Error() string {
	if r.Message == "" {
		return r.Code.Error()
	}
	return r.Message
}

// Unwrap makes errors.Is find the code.
func (r *Refusal) Unwrap() error { return r.Code }
