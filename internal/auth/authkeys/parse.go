package authkeys

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// Bounds of a file. One with more bytes or lines is refused as a whole, a longer
// line alone.
const (
	MaxFile  = 1 << 20 // bytes
	MaxLines = 4096
	MaxLine  = 8192 // bytes, without blanks around it
)

// An Entry is a line that is understood.
type Entry struct {
	Line    int // from 1
	Key     *auth.Key
	Comment string // as it is in the file; to be escaped before it is shown
	Options Options
}

// A Problem is a line that counts for nothing, or with Line 0 a file.
type Problem struct {
	Line   int    // from 1
	Reason string // one line, printable
}

// Parse reads a file. A line is an entry or a problem, unless it is blank or a
// comment. A key that is in a problem's line is refused in later lines too. A
// file beyond [MaxFile] or [MaxLines] is one problem.
func Parse(file []byte) (entries []Entry, problems []Problem) {
	if reason := tooBig(file); reason != "" {
		return nil, []Problem{{Reason: reason}}
	}
	refused := make(map[string]int) // first lines of keys in problems
	n := 0
	for raw := range bytes.Lines(file) {
		n++
		line := strings.TrimLeft(strings.TrimRight(string(raw), " \t\r\n"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if e.Key != nil {
			blob := string(e.Key.Blob())
			if first, ok := refused[blob]; ok {
				err = fmt.Errorf("line %d has the same key and is not accepted", first)
			} else if err != nil {
				refused[blob] = n
			}
		}
		if err != nil {
			problems = append(problems, Problem{n, err.Error()})
			continue
		}
		e.Line = n
		entries = append(entries, e)
	}
	return entries, problems
}

func tooBig(file []byte) string {
	lines := bytes.Count(file, []byte("\n"))
	if len(file) > 0 && file[len(file)-1] != '\n' {
		lines++
	}
	switch {
	case len(file) > MaxFile:
		return fmt.Sprintf("file of %d bytes exceeds %d", len(file), MaxFile)
	case lines > MaxLines:
		return fmt.Sprintf("file of %d lines exceeds %d", lines, MaxLines)
	}
	return ""
}

// parseLine returns the key also with an error, if the line has one.
func parseLine(line string) (e Entry, err error) {
	if strings.IndexByte(line, 0) >= 0 {
		// To sshd this is the line's end, so the key may be in front of it.
		e, _ = parseLine(line[:strings.IndexByte(line, 0)])
		return e, errors.New("a NUL byte")
	}
	options := ""
	if word, _ := cutWord(line); !supported(word) {
		if options, line, err = splitOptions(line); err != nil {
			return e, err
		}
	}
	if e.Key, e.Comment, err = parseKey(line); err != nil {
		return e, err
	}
	if n := len(options) + len(line); n > MaxLine {
		return e, fmt.Errorf("line of %d bytes exceeds %d", n, MaxLine)
	}
	e.Options, err = parseOptions(options)
	return e, err
}

// cutWord splits s behind its first word and the blanks that follow it.
func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// splitOptions splits a line at the first blank outside quotes.
func splitOptions(line string) (options, rest string, err error) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && strings.HasPrefix(line[i+1:], `"`):
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return line[:i], strings.TrimLeft(line[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New("a quote is not closed")
	}
	return "", "", errNoKey
}

// supported reports whether a word is the name of a type of keys. Certificates
// are none: what a line names is the key or the authority itself.
func supported(word string) bool {
	switch word {
	case "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
		"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa":
		return true
	}
	return false
}

// parseKey returns a key that is understood also if none of its kind is accepted.
func parseKey(s string) (k *auth.Key, comment string, err error) {
	if name, _ := cutWord(s); !supported(name) {
		return nil, "", errNoKey
	}
	k, comment, err = auth.ParseKeyLine([]byte(s))
	if err == nil {
		err = auth.CheckAlgorithm(k)
	}
	return k, comment, err
}
