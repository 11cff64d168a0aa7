//go:build unix

package account

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound is returned for a user that no source knows.
	ErrNotFound = errors.New("no such account")
	// ErrTooLarge is wrapped by the error for a file beyond the limit.
	ErrTooLarge = errors.New("file is too large")
	// ErrBusy is returned by Files when too many reads of that user's files hang.
	ErrBusy = errors.New("earlier reads of this user's files have not returned")
)

// Reason is why an account may not log in.
type Reason string

// The reasons of an [InadmissibleError].
const (
	ReasonExpired Reason = "expired"  // the account's date of expiry is past, shadow(5)
	ReasonLocked  Reason = "locked"   // the password is locked
	ReasonNoShell Reason = "no_shell" // the login shell is missing or no program
	ReasonNologin Reason = "nologin"  // the system is closed to all but root, nologin(5)
	ReasonUnknown Reason = "unknown"  // it could not be found out
)

// InadmissibleError says why an account may not log in now. It is for the log
// of the server: a client is not to learn which accounts exist.
type InadmissibleError struct {
	Reason Reason
	Err    error // what was found, never nil
}

func (e *InadmissibleError) Error() string { return e.Err.Error() }

// Unwrap returns what was found.
func (e *InadmissibleError) Unwrap() error { return e.Err }

func inadmissible(reason Reason, format string, args ...any) error {
	return &InadmissibleError{reason, fmt.Errorf(format, args...)}
}

// UnsafeFileError says that others than the user may have written a file, by
// its own mode and owner or those of a directory above it, or that it is none.
type UnsafeFileError struct {
	Path string // the file or directory that is to blame
	Why  string
}

func (e *UnsafeFileError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Why) }
