package cli

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// expand replaces %h, %p, %r, %n and %% by what was checked when the command
// line was read. Other tokens of ssh would name things that rex does not have.
func (r *runner) expand(line string) (string, error) { return r.expandTokens(line, "hprn") }

// expandTokens replaces %% and those tokens.
func (r *runner) expandTokens(line, tokens string) (string, error) {
	var b strings.Builder
	for rest := line; ; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after == "" {
			return "", errors.New("a single % at the end")
		}
		switch c := after[0]; {
		case c == '%':
			b.WriteByte('%')
		case strings.IndexByte(tokens, c) < 0:
			known := "%" + strings.Join(strings.Split(tokens, ""), ", %")
			return "", fmt.Errorf("unknown token %%%c: there are %s and %%%%", c, known)
		default:
			value, err := r.token(c)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
		}
		rest = after[1:]
	}
}

// token is what ssh_config(5) has a token stand for.
func (r *runner) token(c byte) (string, error) {
	switch c {
	case 'h':
		return r.inv.tokenHost(), nil
	case 'n':
		return r.inv.target.host, nil
	case 'p':
		return strconv.Itoa(r.inv.portNumber()), nil
	case 'r':
		return r.remoteUser()
	case 'd':
		return r.home()
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return me.Username, nil // %u
}

// home is the user's directory: $HOME, otherwise what the system knows.
func (r *runner) home() (string, error) {
	if home := r.env.Getenv("HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return me.HomeDir, nil
}

// expandFile replaces a ~ in front, also of another user's, and tokens.
func (r *runner) expandFile(name string) (string, error) {
	path, err := r.expandTokens(name, "dhnpru")
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	who, rest, _ := strings.Cut(path[1:], "/")
	dir, err := r.home()
	if who != "" {
		var other *user.User
		if other, err = user.Lookup(who); err == nil {
			dir = other.HomeDir
		}
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, rest), nil
}

// expandFiles is expandFile of each; one that is "none" means none. Nil stays
// nil.
func (r *runner) expandFiles(names []string) ([]string, error) {
	if names == nil {
		return nil, nil
	}
	files := []string{}
	for _, name := range names {
		if name == "none" {
			return []string{}, nil
		}
		file, err := r.expandFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// remoteUser is the user asked for, or the one who runs rex.
func (r *runner) remoteUser() (string, error) {
	if r.inv.user.set {
		return r.inv.user.value, nil
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	if err := checkUser(me.Username); err != nil {
		return "", err
	}
	return me.Username, nil
}

// isMe reports whether name is the account that runs rex.
func isMe(name string) bool {
	me, err := user.Current()
	return err == nil && (me.Username == name || me.Uid == name)
}
