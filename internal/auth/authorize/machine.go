//go:build unix

package authorize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/process/asuser"
)

// A Machine is the [System] of this machine. Its methods may be called
// concurrently.
type Machine struct {
	judgeLocked bool
	accounts    *directory
	files       account.Files
	lax         chan struct{} // has room for reads without strict modes
}

// maxLax bounds the reads without strict modes that are under way, since they
// may hang on a dead mount.
const maxLax = 64

// NewMachine returns this machine. judgeLocked keeps accounts out whose password
// is locked, see [SSHD.JudgeLocked].
func NewMachine(judgeLocked bool) *Machine {
	return &Machine{judgeLocked: judgeLocked, accounts: newDirectory(account.Lookup), lax: make(chan struct{}, maxLax)}
}

// Lookup implements [System]. What it found counts for 2 s, so that who tries
// many keys does not have directory services asked for each.
func (m *Machine) Lookup(ctx context.Context, name string) (*account.Account, error) {
	return m.accounts.lookup(ctx, name)
}

// GroupID implements [System].
func (m *Machine) GroupID(name string) (int, bool) { return account.GroupID(name) }

// Admissible implements [System].
func (m *Machine) Admissible(ctx context.Context, a *account.Account) error {
	return a.Admissible(ctx, time.Now(), account.Policy{JudgeLocked: m.judgeLocked})
}

// UnrestrictedShell implements [System].
func (m *Machine) UnrestrictedShell(shell string) bool { return account.UnrestrictedShell(shell) }

// Now implements [System].
func (m *Machine) Now() time.Time { return time.Now() }

// busyTime is how long a login waits while files of its user are read for
// others, and busyPause how often it looks.
const (
	busyTime  = 2 * time.Second
	busyPause = 5 * time.Millisecond
)

// ReadUserFile implements [System].
func (m *Machine) ReadUserFile(ctx context.Context, a *account.Account, path string, max int64, strict bool) ([]byte, error) {
	if !strict {
		return m.readLax(ctx, a, path, max)
	}
	end := time.Now().Add(busyTime)
	for {
		data, err := m.files.ReadFile(ctx, a, path, max)
		if !errors.Is(err, account.ErrBusy) || time.Now().After(end) {
			return data, err
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readLax reads with the user's rights and asks nothing else. Its goroutine ends
// with the read.
func (m *Machine) readLax(ctx context.Context, a *account.Account, path string, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, busyTime)
	defer cancel()
	select {
	case m.lax <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("read %q: %w", path, ctx.Err())
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1) // has room: nobody may wait any more
	go func() {
		var r result
		id := asuser.Identity{UID: uint32(a.UID), GID: uint32(a.GID)}
		for _, g := range a.Groups {
			id.Groups = append(id.Groups, uint32(g))
		}
		if err := asuser.Do(id, func() { r.data, r.err = readRegular(path, max, nil) }); err != nil {
			r.err = err
		}
		<-m.lax
		done <- r
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %q: %w", path, ctx.Err())
	}
}

// ReadFile implements [System].
func (m *Machine) ReadFile(path string, max int64) ([]byte, error) {
	return readRegular(path, max, ownOnly)
}

// readRegular reads a regular file, of which check has a say first.
func readRegular(path string, max int64, check func(path string, info fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &account.UnsafeFileError{Path: path, Why: "not a regular file"}
	}
	if check != nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("read %q: %w, at most %d bytes", path, account.ErrTooLarge, max)
	}
	return data, err
}

// ownOnly demands that a file is root's or of the user of this process, and
// that nobody else may write it.
func ownOnly(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || stat.Uid != 0 && int64(stat.Uid) != int64(os.Geteuid()):
		return &account.UnsafeFileError{Path: path, Why: "belongs to another user"}
	case info.Mode()&0o022 != 0:
		return &account.UnsafeFileError{Path: path, Why: "others may write it, chmod go-w"}
	}
	return nil
}
