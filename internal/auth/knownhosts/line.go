package knownhosts

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// A marker is what the @word in front of a line makes of it.
type marker uint8

const (
	plain     marker = iota // the key of a host
	authority               // @cert-authority: signs certificates of hosts
	revoked                 // @revoked: never to be accepted
)

// A line is one line of a file that is no comment. Only its hosts are looked at
// when a file is read: most lines are of other hosts, and decoding their keys
// would cost more than the rest.
type line struct {
	file   string
	number int // from 1
	marker marker
	hosts  string
	rest   string // type, base64, comment
}

// parseLine takes a line apart; ok is false for a comment and an empty line.
// Like OpenSSH it ignores what follows a NUL.
func parseLine(text []byte) (l line, ok bool, err error) {
	text, _, _ = bytes.Cut(text, []byte{0})
	s := skipBlanks(string(text))
	if s == "" || s[0] == '#' {
		return line{}, false, nil
	}
	if l.marker, s, err = parseMarker(s); err != nil {
		return line{}, true, err
	}
	l.hosts, l.rest = field(s)
	if l.rest == "" || l.rest[0] == '#' {
		return line{}, true, errShort
	}
	return l, true, nil
}

// parseMarker takes the marker off. To OpenSSH it ends at the first space, and
// at a tab only where no space follows; a line that OpenSSH skips must not name
// an authority here.
func parseMarker(s string) (marker, string, error) {
	if s[0] != '@' {
		return plain, s, nil
	}
	end := strings.IndexByte(s, ' ')
	if end < 0 {
		end = strings.IndexByte(s, '\t')
	}
	if end < 0 {
		return plain, "", errMarker
	}
	word, s := s[:end], skipBlanks(s[end:])
	switch {
	case strings.HasPrefix(s, "@"): // one is the limit
	case word == "@cert-authority":
		return authority, s, nil
	case word == "@revoked":
		return revoked, s, nil
	}
	return plain, "", errMarker
}

// key decodes the key of a line.
func (l *line) key() (*auth.Key, error) {
	word, rest := field(l.rest)
	text, _ := field(rest)
	if text == "" {
		return nil, errShort
	}
	// White space other than the blanks between fields is left to the decoder,
	// which in OpenSSH skips it: a line may end in CR LF.
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune("\r\v\f", r) {
			return -1
		}
		return r
	}, text)
	if len(text) > base64.StdEncoding.EncodedLen(auth.MaxKeyBlob) {
		return nil, errKey
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errBase64
	}
	key, err := auth.ParseKey(blob)
	switch {
	case err != nil:
		return nil, errKey
	case key.Type() != keyType(word):
		return nil, errType
	}
	return key, nil
}

// keyType is the type of key that the first word of a key names: OpenSSH takes
// the names of RSA's signatures for the key too.
func keyType(word string) string {
	switch word {
	case "rsa-sha2-256", "rsa-sha2-512":
		return "ssh-rsa"
	}
	return word
}

// field splits off the text before the first blanks.
func field(s string) (first, rest string) {
	end := strings.IndexAny(s, " \t")
	if end < 0 {
		return s, ""
	}
	return s[:end], skipBlanks(s[end:])
}

func skipBlanks(s string) string { return strings.TrimLeft(s, " \t") }
