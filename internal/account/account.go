//go:build unix

package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Account is what is known of a user. It is not changed after a look-up.
type Account struct {
	Name     string
	UID, GID int
	// Groups are all groups as getgrouplist(3) gives them, GID first.
	Groups []int
	// Home is the home directory, "/" if none is given, and Shell the login
	// shell, /bin/sh if none is given; see passwd(5). Neither need exist.
	Home, Shell string
}

// Lookup finds the account of that exact name. It reads /etc/passwd and
// /etc/group; where nsswitch.conf(5) names other sources that may know more, it
// asks getent(1) and id(1), which may take 5 s each. A name that
// nobody knows is ErrNotFound; any other error means that it could not be
// found out.
func Lookup(ctx context.Context, name string) (*Account, error) {
	return system().lookup(ctx, name, func(a *Account) bool { return a.Name == name })
}

// LookupUID is Lookup by user id. Of several accounts with that id it is the
// first.
func LookupUID(ctx context.Context, uid int) (*Account, error) {
	return system().lookup(ctx, strconv.Itoa(uid), func(a *Account) bool { return a.UID == uid })
}

// GroupID returns the id of a group in /etc/group; ok tells whether it is there.
func GroupID(name string) (gid int, ok bool) {
	f, err := os.Open(system().path("group"))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return findGroup(f, name)
}

// source is where accounts come from.
type source struct {
	etc     string   // the directory of passwd, group, shadow, nsswitch.conf
	tools   []string // directories of getent and id
	timeout time.Duration
}

func system() source {
	return source{etc: "/etc", tools: []string{"/usr/bin", "/bin"}, timeout: 5 * time.Second}
}

func (s source) path(name string) string { return s.etc + "/" + name }

// lookup finds the account that matches; key is its name or number for getent.
func (s source) lookup(ctx context.Context, key string, matches func(*Account) bool) (*Account, error) {
	if !validKey(key) {
		return nil, ErrNotFound
	}
	a, err := s.fromFiles(matches)
	if err != nil {
		return nil, err
	}
	has := s.nameSwitch()
	if a == nil && has.accountsOnly {
		return nil, ErrNotFound
	}
	fromFiles := a != nil && has.filesFirst
	if !fromFiles {
		unknown := a == nil
		a, err = s.fromServices(ctx, key, matches)
		if errors.Is(err, errNoTool) && unknown {
			err = ErrNotFound // by anybody here
		}
		if err != nil {
			return nil, err
		}
	}
	if fromFiles && has.groupsOnly {
		a.Groups, err = s.fileGroups(a)
	} else {
		a.Groups, err = s.serviceGroups(ctx, a)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// validKey refuses what no account is called and what a tool could take for
// something else than a name.
func validKey(key string) bool {
	return key != "" && len(key) <= 256 && !strings.HasPrefix(key, "-") && !strings.ContainsAny(key, ":\n\x00")
}

func (s source) fromFiles(matches func(*Account) bool) (*Account, error) {
	f, err := os.Open(s.path("passwd"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return findAccount(f, matches)
}

// fileGroups are the groups of an account by the files.
func (s source) fileGroups(a *Account) ([]int, error) {
	f, err := os.Open(s.path("group"))
	if errors.Is(err, os.ErrNotExist) {
		return []int{a.GID}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return findGroups(f, a.Name, a.GID)
}

// fromServices asks the tools. What they answer must be about the account that
// was asked for.
func (s source) fromServices(ctx context.Context, key string, matches func(*Account) bool) (*Account, error) {
	out, err := s.askPasswd(ctx, key)
	if err != nil {
		return nil, err
	}
	a, err := findAccount(strings.NewReader(out), matches)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, ErrNotFound
	}
	return a, nil
}

// serviceGroups asks for the groups of an account that a service has.
func (s source) serviceGroups(ctx context.Context, a *Account) ([]int, error) {
	out, err := s.run(ctx, "id", "-G", "--", a.Name)
	if err != nil {
		return nil, fmt.Errorf("groups of %q: %w", a.Name, err)
	}
	groups, err := parseIDs(out)
	if err != nil {
		return nil, err
	}
	at := slices.Index(groups, a.GID)
	if at < 0 {
		return nil, fmt.Errorf("id -G %q does not name group %d, which is the account's", a.Name, a.GID)
	}
	return append([]int{a.GID}, slices.Delete(groups, at, at+1)...), nil
}

// parseIDs parses the output of id -G.
func parseIDs(out string) ([]int, error) {
	var ids []int
	for _, field := range strings.Fields(out) {
		id, ok := parseID(field)
		if !ok {
			return nil, fmt.Errorf("id -G says %q, which is no group id", field)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
