//go:build unix

package authorize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authkeys"
)

// A book is a user's authorized_keys files as one: a line that is refused in one
// of them takes the same key in later ones with it.
type book struct {
	text    []byte
	pages   []page
	missing []string // files that are not there
	// trouble is why a file could not be read. The files behind it do not
	// count: it may have restricted a key that is in them.
	trouble error
}

// A page is where a file begins in a book.
type page struct {
	path  string
	first int // number of its first line
}

// read reads the files of an account.
func (p *Policy) read(ctx context.Context, a *account.Account) *book {
	b := &book{}
	for _, pattern := range p.cfg.AuthorizedKeys {
		path, err := expand(pattern, a.Name, a.Home)
		var data []byte
		if err == nil {
			data, err = p.cfg.System.ReadUserFile(ctx, a, path, authkeys.MaxFile, !p.cfg.LaxModes)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b.missing = append(b.missing, path)
		case err != nil:
			b.trouble = err
			return b
		default:
			b.add(path, data)
		}
	}
	return b
}

func (b *book) add(path string, data []byte) {
	b.pages = append(b.pages, page{path, b.lines() + 1})
	b.text = append(b.text, data...)
	if n := len(data); n > 0 && data[n-1] != '\n' {
		b.text = append(b.text, '\n')
	}
}

func (b *book) lines() int { return bytes.Count(b.text, []byte("\n")) }

// parse returns the entries and the lines that are none, or why lines with the
// key that is asked for, or all of them, do not count.
//
// Whether a line that is not understood has that key is for authkeys to know:
// it refuses the key in later lines, so a last line is added that has nothing
// but the key.
func (b *book) parse(key *auth.Key) ([]authkeys.Entry, []authkeys.Problem, error) {
	probe := b.lines() + 1
	text := fmt.Appendf(bytes.Clone(b.text), "%s\n", key)
	entries, problems := authkeys.Parse(text)
	for _, problem := range problems {
		switch problem.Line {
		case 0:
			return nil, nil, errors.New("authorized_keys: " + problem.Reason)
		case probe:
			return nil, nil, b.refused(problem.Reason, problems)
		}
	}
	if n := len(entries); n > 0 && entries[n-1].Line == probe {
		entries = entries[:n-1]
	}
	return entries, problems, nil
}

// refused says that the key is in a line that is not understood, and which if
// the reason names it.
func (b *book) refused(reason string, problems []authkeys.Problem) error {
	for _, first := range problems {
		if strings.HasPrefix(reason, fmt.Sprintf("line %d ", first.Line)) {
			return fmt.Errorf("%s: the line is not accepted: %s", b.place(first.Line), first.Reason)
		}
	}
	return errors.New(reason)
}

// place is the file and line of a line of the book.
func (b *book) place(line int) string {
	at := page{"authorized_keys", 1}
	for _, page := range b.pages {
		if page.first <= line {
			at = page
		}
	}
	return fmt.Sprintf("%s:%d", at.path, line-at.first+1)
}

// absent says where the key was looked for, and which lines it could have been
// in, but for a mistake.
func (b *book) absent(problems []authkeys.Problem) error {
	var paths []string
	for _, page := range b.pages {
		paths = append(paths, page.path)
	}
	var text strings.Builder
	switch {
	case len(paths) > 0:
		text.WriteString("it is not in " + strings.Join(paths, ", "))
	case len(b.missing) > 0:
		text.WriteString("there is no " + strings.Join(b.missing, ", no "))
	default:
		text.WriteString("there is no usable authorized_keys file")
	}
	for i, problem := range problems {
		if i == maxProblems {
			fmt.Fprintf(&text, "; and %d more", len(problems)-i)
			break
		}
		fmt.Fprintf(&text, "; %s was skipped: %s", b.place(problem.Line), problem.Reason)
	}
	return errors.New(text.String())
}
