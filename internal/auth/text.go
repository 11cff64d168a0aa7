package auth

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxText bounds what an error shows of somebody else's words, in bytes.
const maxText = 256

// printable makes a string from a file, an agent or a certificate safe for a
// terminal and a log: what is not printable is escaped, what exceeds maxText is
// cut.
func printable(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
	}
	var b strings.Builder
	for i, r := range s {
		switch _, n := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(0x100|uint64(s[i]), 16)[1:])
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

func (e foreignError) Error() string { return printable(strings.TrimPrefix(e.err.Error(), "ssh: ")) }

func (e foreignError) Unwrap() error { return e.err }
