//go:build unix

package authorize

import (
	"errors"
	"strings"
)

// maxLines bounds the lines that name the same key and do not count, since each
// of an authority costs the verification of a signature.
const maxLines = 16

// maxProblems bounds the lines that are named because they are not understood.
const maxProblems = 3

var (
	errNoLine      = errors.New("no authorized_keys line counts")
	errTwoCommands = errors.New("the line and the certificate force different commands")
)

// A FileError is about a file of the administrator that a [Config] names.
type FileError struct {
	Key     string // revoked_keys or trusted_user_ca_keys
	Path    string
	Exposed string // what others could have changed: the file, or a directory on the way
	Err     error  // why it cannot be used, never nil
}

func (e *FileError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns why the file cannot be used.
func (e *FileError) Unwrap() error { return e.Err }

// oneLine makes one line of joined errors.
func oneLine(err error) error {
	if text := err.Error(); strings.ContainsRune(text, '\n') {
		return &lineError{strings.ReplaceAll(text, "\n", "; "), err}
	}
	return err
}

type lineError struct {
	text string
	err  error
}

func (e *lineError) Error() string { return e.text }
func (e *lineError) Unwrap() error { return e.err }
