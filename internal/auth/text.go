package auth

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxText bounds what is shown of a peer's words, in bytes.
const MaxText = 256

// Printable makes a string that somebody else chose safe for a terminal and a
// log: everything but printable characters and plain spaces is escaped, and
// what exceeds MaxText bytes is cut.
func Printable(s string) string {
	cut := len(s) > MaxText
	if cut {
		s = s[:MaxText]
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

// A foreignError is one of x/crypto, whose text may quote its input as it is.
type foreignError struct{ err error }

func (e foreignError) Error() string { return Printable(strings.TrimPrefix(e.err.Error(), "ssh: ")) }

func (e foreignError) Unwrap() error { return e.err }
