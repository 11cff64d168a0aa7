package knownhosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// MaxFile bounds a known_hosts file, in bytes.
const MaxFile = 16 << 20

// A Set is what some known_hosts files say. It is immutable, and its methods
// may be called concurrently. The zero value knows no host.
type Set struct {
	lines   []line
	skipped []Problem
}

// An Entry is a line with the key of a host.
type Entry struct {
	Type        string // such as "ssh-ed25519"
	Fingerprint string // as [auth.Key.Fingerprint] has it
	File        string
	Line        int // from 1
}

// A Problem is a line that is skipped.
type Problem struct {
	File   string
	Line   int    // from 1
	Reason string // holds nothing of the line
}

// preference is the order in which key types are asked for, the best first.
var preference = [...]string{
	"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
}

// Load reads files in their order. One that is missing is empty; one that
// cannot be read, is a directory or exceeds [MaxFile] is an error that names it.
func Load(files []string) (*Set, error) {
	s := &Set{}
	for _, file := range files {
		data, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
		s.parse(file, data)
	}
	return s, nil
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s exceeds %d bytes", file, MaxFile)
	}
	return data, err
}

// parse adds the lines of a file.
func (s *Set) parse(file string, data []byte) {
	number := 0
	for text := range bytes.Lines(data) {
		number++
		l, ok, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
		l.file, l.number = file, number
		switch {
		case err != nil:
			s.skipped = append(s.skipped, l.problem(err))
		case ok:
			s.lines = append(s.lines, l)
		}
	}
}

func (l *line) problem(err error) Problem {
	return Problem{File: l.file, Line: l.number, Reason: err.Error()}
}

// Skipped lists the lines that count for no host, whichever is asked for. It
// decodes every key, which takes a while with a long file.
func (s *Set) Skipped() []Problem {
	skipped := append([]Problem(nil), s.skipped...)
	for i := range s.lines {
		l := &s.lines[i]
		_, err := l.key()
		if _, ok := saltOf(l.hosts); err == nil && !ok && strings.HasPrefix(l.hosts, "|") {
			err = errHash
		}
		if err != nil {
			skipped = append(skipped, l.problem(err))
		}
	}
	return skipped
}

// Types returns the types of the keys that are known for a host, those that
// this program can ask for, the best first. A host known by an authority only
// has none. The arguments are those of [Query].
func (s *Set) Types(host string, port int, alias string) []string {
	held := map[string]bool{}
	for _, e := range s.find(lookup(host, port, alias)).pinned() {
		held[e.key.Type()] = true
	}
	var types []string
	for _, t := range preference {
		if held[t] {
			types = append(types, t)
		}
	}
	return types
}

// An entry is a line for the host in question, and its key.
type entry struct {
	*line
	key *auth.Key
}

// A finding is what there is for a host: the lines of its exact name and those
// of its plain one.
type finding struct{ exact, fallback []entry }

// find collects the lines of both names whose keys can be decoded.
func (s *Set) find(exact, fallback string) (f finding) {
	for i := range s.lines {
		l := &s.lines[i]
		isExact := matches(l.hosts, exact)
		isFallback := fallback != "" && matches(l.hosts, fallback)
		if !isExact && !isFallback {
			continue
		}
		key, err := l.key()
		if err != nil {
			continue
		}
		if isExact {
			f.exact = append(f.exact, entry{l, key})
		}
		if isFallback {
			f.fallback = append(f.fallback, entry{l, key})
		}
	}
	return f
}

// pinned returns the plain keys that count: those of the plain host only when
// the exact name has none.
func (f finding) pinned() []entry {
	if exact := only(f.exact, plain); len(exact) > 0 {
		return exact
	}
	return only(f.fallback, plain)
}

func only(all []entry, m marker) (some []entry) {
	for _, e := range all {
		if e.marker == m {
			some = append(some, e)
		}
	}
	return some
}
