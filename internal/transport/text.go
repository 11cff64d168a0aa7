package transport

import (
	"bytes"

	"github.com/rexec/rex/internal/auth"
)

// printable makes a string that somebody else chose safe for a terminal and a
// log.
func printable(s string) string { return auth.Printable(s) }

// foreign says what a peer that is no rexd seems to be, by the first bytes it
// sent.
func foreign(first []byte) *ForeignPeerError {
	e := &ForeignPeerError{Greeting: printable(string(first))}
	switch {
	case bytes.HasPrefix(first, []byte("SSH-")):
		e.Protocol = "ssh"
	case bytes.HasPrefix(first, []byte("HTTP")):
		e.Protocol = "http"
	}
	return e
}
