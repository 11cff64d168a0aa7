//go:build unix

package authorize

import (
	"context"
	"time"

	"github.com/rexec/rex/internal/account"
)

// A System is what a [Policy] knows of the machine. Its methods may be called
// concurrently; [Machine] is the real one.
type System interface {
	// Lookup finds the account with exactly that name. It fails with
	// account.ErrNotFound if there is none.
	Lookup(ctx context.Context, name string) (*account.Account, error)
	// GroupID finds the id of a group.
	GroupID(name string) (gid int, ok bool)
	// Admissible says why an account may not log in at all, whatever the key.
	Admissible(ctx context.Context, a *account.Account) error
	// UnrestrictedShell reports whether the shell lets its user run everything.
	UnrestrictedShell(shell string) bool
	// ReadUserFile reads a file with the rights of the account, of at most max
	// bytes. strict demands that nobody else could have written it. A file that
	// is not there is fs.ErrNotExist.
	ReadUserFile(ctx context.Context, a *account.Account, path string, max int64, strict bool) ([]byte, error)
	// ReadFile reads a file of the administrator, of at most max bytes, which
	// nobody else may be able to write.
	ReadFile(path string, max int64) ([]byte, error)
	// Now is the time.
	Now() time.Time
}
