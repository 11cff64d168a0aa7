//go:build linux || darwin || freebsd

package transport

import (
	"os"
	"os/user"
	"strconv"

	"github.com/rexec/rex/proto"
)

// accounts looks users up; tests have their own.
type accounts struct {
	byName func(name string) (*user.User, error)
	byID   func(uid string) (*user.User, error)
}

func systemAccounts() accounts { return accounts{byName: user.Lookup, byID: user.LookupId} }

// has reports whether name is an account of uid. A name that no account has
// must be the number itself: a uid needs no account to run programs, as in
// containers.
func (a accounts) has(name string, uid int) bool {
	id := strconv.Itoa(uid)
	if u, err := a.byName(name); err == nil {
		return u.Uid == id
	}
	return name == id
}

// name is what uid logs in as.
func (a accounts) name(uid int) string {
	id := strconv.Itoa(uid)
	u, err := a.byID(id)
	if err != nil || proto.CheckUser(u.Username) != nil {
		return id
	}
	return u.Username
}

// currentUser is the name that this process logs in as when none is given.
func currentUser() string { return systemAccounts().name(os.Geteuid()) }
