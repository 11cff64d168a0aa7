package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// splitQuoted splits the value of a keyword into words as ssh_config(5) has
// it: blanks between words, single and double quotes around parts of them, and
// a backslash before a quote, a blank or a backslash.
func splitQuoted(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		word, rest, err := nextWord(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), rest
	}
	return words, nil
}

func nextWord(s string) (word, rest string, err error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && escapable(s[i+1], quote):
			i++
			b.WriteByte(s[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), s[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("a quote is not closed")
	}
	return b.String(), "", nil
}

// escapable reports whether a backslash before c is taken away.
func escapable(c, quote byte) bool {
	return c == '\\' || c == '"' || c == '\'' || c == ' ' && quote == 0
}

// checkEnv reports whether s is NAME=value with a name that a shell can use.
func checkEnv(s string) error {
	name, _, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("%q has no value", s)
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || i > 0 && '0' <= c && c <= '9' {
			continue
		}
		return fmt.Errorf("%q is no name of a variable", name)
	}
	if name == "" {
		return fmt.Errorf("%q has no name", s)
	}
	return nil
}

// parseTime takes the times of ssh_config(5): seconds, or numbers with the
// units s, m, h, d and w, one after the other.
func parseTime(s string) (time.Duration, error) {
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	var sum time.Duration
	for rest := s; rest != "" || s == ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("bad time %q", s)
		}
		unit := time.Second
		if rest = rest[digits:]; rest != "" {
			unit, rest = units[rest[0]|0x20], rest[1:]
		}
		if unit == 0 || n > int64(maxTime/unit) {
			return 0, fmt.Errorf("bad time %q", s)
		}
		if sum += time.Duration(n) * unit; sum > maxTime {
			return 0, fmt.Errorf("bad time %q", s)
		}
	}
	return sum, nil
}

// maxTime is far more than anybody waits, and far from overflow: 2^31 weeks
// would not fit.
const maxTime = 10 * 365 * 24 * time.Hour

// parseDuration takes the times of long options: a number of seconds, or Go's
// notation such as 1m30s or 500ms.
func parseDuration(s string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds <= maxTime.Seconds() {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxTime {
		return 0, fmt.Errorf("bad time %q: a time is a number of seconds, or such as 500ms, 90s, 5m, 2h", s)
	}
	return d, nil
}
