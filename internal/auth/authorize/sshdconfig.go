//go:build unix

package authorize

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	maxConfigFile  = 1 << 20 // bytes
	maxConfigFiles = 256
	maxInclude     = 16 // levels, as sshd has it
)

// A configLine is a setting in a file of sshd_config(5).
type configLine struct {
	file           string
	number         int
	keyword, value string // in lower case; unquoted as far as that matters here
	text           string
}

func (l configLine) String() string {
	return fmt.Sprintf("%s:%d: %.100q", l.file, l.number, l.text)
}

// A scanner collects the settings of a file and of those that it includes,
// whatever Match block they are in.
type scanner struct {
	lines   []configLine
	first   map[string][]string // values that count: the first ones outside of Match blocks
	inMatch bool
	files   int
	err     error // what could not be read
}

// file reads a file. Whatever cannot be read may bind logins.
func (sc *scanner) file(path string, level int) {
	sc.files++
	if level > maxInclude || sc.files > maxConfigFiles {
		sc.err = errors.Join(sc.err, fmt.Errorf("%s: too many files are included", path))
		return
	}
	data, err := readRegular(path, maxConfigFile, nil)
	if err != nil {
		sc.err = errors.Join(sc.err, err)
		return
	}
	number := 0
	for raw := range bytes.Lines(data) {
		number++
		l, ok := parseConfigLine(string(raw))
		if !ok {
			continue
		}
		l.file, l.number = path, number
		sc.take(l, level)
	}
}

func (sc *scanner) take(l configLine, level int) {
	sc.lines = append(sc.lines, l)
	switch l.keyword {
	case "include":
		// A Match block in an included file ends with that file.
		before := sc.inMatch
		sc.include(l, level)
		sc.inMatch = before
		return
	case "match":
		sc.inMatch = true
	}
	if sc.first == nil {
		sc.first = map[string][]string{}
	}
	if !sc.inMatch && sc.first[l.keyword] == nil {
		sc.first[l.keyword] = []string{l.value}
	}
}

// include reads the files of an Include; names are relative to the directory of
// the main file, which is that of all sshd's files.
func (sc *scanner) include(l configLine, level int) {
	dir := filepath.Dir(sc.lines[0].file)
	for _, pattern := range strings.Fields(l.value) {
		pattern = strings.Trim(pattern, `"'`)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		names, err := filepath.Glob(pattern) // sorted
		if err != nil {
			sc.err = errors.Join(sc.err, fmt.Errorf("%s: %w", l, err))
		}
		for _, name := range names {
			sc.file(name, level+1)
		}
	}
}

// parseConfigLine splits a line into keyword and value: by blanks, one = and
// quotes, as sshd does. ok is false if there is nothing in it.
func parseConfigLine(raw string) (l configLine, ok bool) {
	text := strings.TrimSpace(raw)
	if text == "" || text[0] == '#' {
		return l, false
	}
	line, quoted := strings.CutPrefix(text, `"`)
	end := strings.IndexAny(line, " \t=\"")
	if end < 0 {
		end = len(line)
	}
	value := line[end:]
	if quoted {
		value = strings.TrimPrefix(value, `"`)
	}
	value = strings.TrimLeft(value, " \t")
	value = strings.TrimLeft(strings.TrimPrefix(value, "="), " \t")
	if i := strings.Index(value, " #"); i >= 0 && !strings.Contains(value[:i], `"`) {
		value = value[:i]
	}
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && value[0] == '"' && strings.IndexByte(value[1:], '"') == n-2 {
		value = value[1 : n-1]
	}
	return configLine{keyword: strings.ToLower(line[:end]), value: value, text: text}, true
}
