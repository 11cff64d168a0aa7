//go:build unix

package account

import (
	"bufio"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// eachLine calls f with every line until f returns false.
func eachLine(r io.Reader, f func(line string) bool) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && !f(strings.TrimRight(line, "\r\n")) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// findAccount searches lines in the form of passwd(5). It returns nil if none
// matches.
func findAccount(r io.Reader, matches func(*Account) bool) (found *Account, err error) {
	err = eachLine(r, func(line string) bool {
		if a := parseAccount(line); a != nil && matches(a) {
			found = a
		}
		return found == nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// parseAccount returns the account of one line, nil if it has none: comments
// and the entries that NIS would fill are passed over.
func parseAccount(line string) *Account {
	field := strings.Split(line, ":")
	if len(field) != 7 || noEntry(field[0]) {
		return nil
	}
	uid, okUID := parseID(field[2])
	gid, okGID := parseID(field[3])
	if !okUID || !okGID || strings.Contains(line, "\x00") {
		return nil
	}
	a := &Account{Name: field[0], UID: uid, GID: gid, Home: field[5], Shell: field[6]}
	if a.Shell == "" {
		a.Shell = "/bin/sh" // passwd(5)
	}
	if a.Home == "" {
		a.Home = "/"
	}
	return a
}

func noEntry(name string) bool {
	return name == "" || strings.ContainsRune("#+-", rune(name[0]))
}

// parseID parses a user or group id. The largest number is none: to the kernel
// it means "as it is". Where an int has 32 bits, its negative half is none either.
func parseID(s string) (int, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return int(id), err == nil && id != math.MaxUint32 && int(id) >= 0
}

// parseGroup returns what a line in the form of group(5) says.
func parseGroup(line string) (name string, gid int, members string, ok bool) {
	field := strings.Split(line, ":")
	if len(field) != 4 || noEntry(field[0]) {
		return "", 0, "", false
	}
	gid, ok = parseID(field[2])
	return field[0], gid, field[3], ok
}

// findGroups returns the primary group and those that name the user as a
// member, in the file's order, none twice.
func findGroups(r io.Reader, user string, primary int) ([]int, error) {
	groups := []int{primary}
	err := eachLine(r, func(line string) bool {
		_, gid, members, ok := parseGroup(line)
		if ok && slices.Contains(strings.Split(members, ","), user) && !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

func findGroup(r io.Reader, wanted string) (gid int, found bool) {
	err := eachLine(r, func(line string) bool {
		var name string
		name, gid, _, found = parseGroup(line)
		found = found && name == wanted
		return !found
	})
	return gid, found && err == nil
}
