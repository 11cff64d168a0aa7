//go:build unix

package authorize

import (
	"errors"
	"strings"
)

// maxLines bounds the lines that name the same key and do not count, since each
// of an authority costs the verification of a signature.
const maxLines = 16

var (
	errNoLine      = errors.New("no authorized_keys line counts")
	errTwoCommands = errors.New("the line and the certificate force different commands")
)

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
