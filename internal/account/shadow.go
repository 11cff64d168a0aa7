//go:build unix

package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// passwordEntry is what matters of a line of shadow(5) or master.passwd(5).
type passwordEntry struct {
	locked bool
	end    time.Time // when the account expires; zero is never
	err    error     // why end is not known
}

// parseShadow returns the entry of a line of shadow(5) if it is that user's.
func parseShadow(line, name string) *passwordEntry {
	field := strings.Split(line, ":")
	if len(field) < 8 || noEntry(field[0]) || field[0] != name {
		return nil
	}
	e := &passwordEntry{locked: strings.HasPrefix(field[1], "!")}
	if field[7] != "" && field[7] != "-1" {
		day, err := strconv.ParseInt(field[7], 10, 32)
		e.end, e.err = time.Unix((day+1)*24*60*60, 0), err // as sshd: the day itself is still good
	}
	return e
}

// parseMaster is parseShadow for master.passwd(5), with seconds instead of days.
func parseMaster(line, name string) *passwordEntry {
	field := strings.Split(line, ":")
	if len(field) != 10 || noEntry(field[0]) || field[0] != name {
		return nil
	}
	e := &passwordEntry{locked: strings.HasPrefix(field[1], "*LOCKED*")}
	if field[6] != "" && field[6] != "0" {
		second, err := strconv.ParseInt(field[6], 10, 64)
		e.end, e.err = time.Unix(second, 0), err
	}
	return e
}

// check judges the entry; nil is an account without one, which cannot expire.
func (e *passwordEntry) check(now time.Time, policy Policy) error {
	switch {
	case e == nil:
	case e.err != nil:
		return inadmissible(ReasonUnknown, "the account's date of expiry: %w", e.err)
	case !e.end.IsZero() && !now.Before(e.end):
		return inadmissible(ReasonExpired, "the account has expired")
	case policy.JudgeLocked && e.locked:
		return inadmissible(ReasonLocked, "the account is locked")
	}
	return nil
}

// password finds the entry of a user, nil if there is none.
func (s source) password(ctx context.Context, name string) (*passwordEntry, error) {
	for file, parse := range map[string]func(line, name string) *passwordEntry{"shadow": parseShadow, "master.passwd": parseMaster} {
		text, err := os.ReadFile(s.path(file))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if entry := findPassword(string(text), name, parse); entry != nil {
			return entry, nil
		}
	}
	if s.nameSwitch().shadowOnly {
		return nil, nil
	}
	out, err := s.getent(ctx, "shadow", name)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, errNoTool):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("shadow entry: %w", err)
	}
	return findPassword(out, name, parseShadow), nil
}

func findPassword(text, name string, parse func(line, name string) *passwordEntry) *passwordEntry {
	for line := range strings.Lines(text) {
		if e := parse(strings.TrimRight(line, "\r\n"), name); e != nil {
			return e
		}
	}
	return nil
}
