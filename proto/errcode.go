package proto

import "slices"

// Code is the machine-readable reason of a refusal. It is also an error, so
// that errors.Is works across the wire: errors.Is(err, proto.CodeNotFound).
type Code string

// The reasons of refusals (PROTOCOL.md section 11).
const (
	CodeNotFound         Code = "not_found"         // no such program, or its interpreter is missing
	CodeNotExecutable    Code = "not_executable"    // the file may not be executed
	CodeIsDirectory      Code = "is_directory"      // the program is a directory
	CodeTooBig           Code = "too_big"           // arguments and environment exceed a limit of the protocol or the system
	CodeNoDirectory      Code = "no_directory"      // the working directory does not exist or cannot be entered
	CodePermissionDenied Code = "permission_denied" // not allowed
	CodeUnknownUser      Code = "unknown_user"      // no such account
	CodeNoShell          Code = "no_shell"          // the account's login shell does not exist
	CodeNoHandler        Code = "no_handler"        // the server runs no commands
	CodeNoSubsystem      Code = "no_subsystem"      // the server does not know the subsystem
	CodeUnsupported      Code = "unsupported"       // known but not offered here
	CodeInvalid          Code = "invalid"           // the exec breaks a rule: NUL byte, bad name, argv and line at once
	CodeDuplicateID      Code = "duplicate_id"      // the id was used before on this session
	CodeBadStream        Code = "bad_stream"        // a stream is not open, is taken, or is named twice
	CodeBusy             Code = "busy"              // too many commands; safe to try again later
	CodeShuttingDown     Code = "shutting_down"     // the server drains; safe to try again elsewhere
	CodeStartTimeout     Code = "start_timeout"     // the start hung and was given up
	CodeStartFailed      Code = "start_failed"      // any other error of the system
)

type codeEntry struct {
	code Code
	text string
	exit int
}

// codes is the one table of codes: what a text for people says, and what a
// command line exits with, as shells do.
var codes = []codeEntry{
	{CodeNotFound, "command not found", 127},
	{CodeNotExecutable, "not executable", 126},
	{CodeIsDirectory, "is a directory", 126},
	{CodeTooBig, "arguments and environment are too long", 126},
	{CodeNoDirectory, "no such working directory", 255},
	{CodePermissionDenied, "permission denied", 255},
	{CodeUnknownUser, "unknown user", 255},
	{CodeNoShell, "the login shell does not exist", 255},
	{CodeNoHandler, "the server runs no commands", 255},
	{CodeNoSubsystem, "no such subsystem", 255},
	{CodeUnsupported, "not supported by the server", 255},
	{CodeInvalid, "invalid request", 255},
	{CodeDuplicateID, "command id used twice", 255},
	{CodeBadStream, "a stream of the command is not open", 255},
	{CodeBusy, "too many commands at once", 255},
	{CodeShuttingDown, "the server is shutting down", 255},
	{CodeStartTimeout, "the command did not start in time", 255},
	{CodeStartFailed, "the command could not be started", 255},
}

// Codes returns all codes that this version knows, in the order of the
// specification.
func Codes() []Code {
	out := make([]Code, len(codes))
	for i, c := range codes {
		out[i] = c.code
	}
	return out
}

// Known reports whether c is in this version's table. A code of a later
// version is not; it is treated like [CodeStartFailed].
func (c Code) Known() bool {
	return slices.ContainsFunc(codes, func(e codeEntry) bool { return e.code == c })
}

// Error returns a short text for people, without details.
func (c Code) Error() string {
	for _, e := range codes {
		if e.code == c {
			return e.text
		}
	}
	return "refused by the server"
}

// ExitStatus is what a command line exits with for this refusal: 127 and 126
// as shells use them, 255 otherwise.
func (c Code) ExitStatus() int {
	for _, e := range codes {
		if e.code == c {
			return e.exit
		}
	}
	return 255
}
