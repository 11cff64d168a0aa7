package transport

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxText bounds what is shown of a peer's words, in bytes.
const maxText = 256

// printable makes a string that somebody else chose safe for a terminal and a
// log: everything but printable characters and plain spaces is escaped, and
// what exceeds maxText bytes is cut.
func printable(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
		for range utf8.UTFMax - 1 { // do not leave half a character
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	for i, r := range s {
		switch _, n := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x`)
			b.WriteByte("0123456789abcdef"[s[i]>>4])
			b.WriteByte("0123456789abcdef"[s[i]&15])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}

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
