//go:build unix

package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/process/asuser"
)

// readTimeout is how long a file of a user may take.
const readTimeout = 2 * time.Second

// ReadFile reads a file of the user, such as authorized_keys, with the user's
// own rights and under the strict modes of sshd(8): it is a regular file that
// belongs to root or the user and that nobody else may write, and so is, as far
// as directories go, every directory of its real path up to the home directory,
// or the root where it is not below that. Else it is an [UnsafeFileError].
//
// A file of more than limit bytes is ErrTooLarge, and one that does not exist
// [os.ErrNotExist]. Root elsewhere than on Linux gets [errors.ErrUnsupported]
// for files of other users.
//
// It takes at most 2 s. A read that hangs in the kernel, as on a dead mount,
// keeps its goroutine and a thread until it comes back, which may be never;
// that goroutine belongs to nobody and its result is dropped. [Files] bounds
// how many there can be.
func (a *Account) ReadFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	return a.readFile(ctx, path, limit, func() {})
}

// Files reads files of users for a server: no user, by files that hang, can
// make it keep more than a few threads. The zero value is ready; a server has
// one. Its methods may be called concurrently.
type Files struct {
	mu      sync.Mutex
	reading map[int]int // reads under way by user id
}

// maxReads is how many reads of one user's files may be under way.
const maxReads = 8

// ReadFile is [Account.ReadFile], and ErrBusy while too many reads of that
// user's files have not come back.
func (f *Files) ReadFile(ctx context.Context, a *Account, path string, limit int64) ([]byte, error) {
	if !f.enter(a.UID) {
		return nil, fmt.Errorf("read %q: %w", path, ErrBusy)
	}
	return a.readFile(ctx, path, limit, func() { f.leave(a.UID) })
}

func (f *Files) enter(uid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading[uid] >= maxReads {
		return false
	}
	if f.reading == nil {
		f.reading = make(map[int]int)
	}
	f.reading[uid]++
	return true
}

func (f *Files) leave(uid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading[uid]--; f.reading[uid] == 0 {
		delete(f.reading, uid)
	}
}

// readFile calls returned when the read has come back, which may be later.
func (a *Account) readFile(ctx context.Context, path string, limit int64, returned func()) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1) // has room: nobody may wait any more
	go func() {
		var r result
		as := asuser.Identity{UID: uint32(a.UID), GID: uint32(a.GID), Groups: ids(a.Groups)}
		if err := asuser.Do(as, func() { r.text, r.err = a.read(path, limit) }); err != nil {
			r.err = err
		}
		returned()
		read <- r
	}()
	select {
	case r := <-read:
		return r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %q: %w", path, context.Cause(ctx))
	}
}

func ids(list []int) []uint32 {
	out := make([]uint32, len(list))
	for i, id := range list {
		out[i] = uint32(id)
	}
	return out
}

// read runs with the user's rights.
func (a *Account) read(path string, limit int64) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := a.checkPath(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("read %q: %w, at most %d bytes", path, ErrTooLarge, limit)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// checkPath is safe_path of OpenSSH's misc.c, for the opened file that info is
// about. The path is looked at after the file was opened, so it is made sure
// that both are still the same.
func (a *Account) checkPath(path string, info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &UnsafeFileError{path, "not a regular file"}
	}
	realPath, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if realPath, err = filepath.Abs(realPath); err != nil {
		return err
	}
	if now, err := os.Lstat(realPath); err != nil || !os.SameFile(now, info) {
		return &UnsafeFileError{path, "was replaced while it was read"}
	}
	if err := a.checkOwner(realPath, info); err != nil {
		return err
	}
	home, err := filepath.EvalSymlinks(a.Home)
	if err != nil {
		home = "" // as sshd: then it is up to the root
	}
	return a.checkAbove(realPath, home)
}

// checkAbove checks every directory above a real path, up to home.
func (a *Account) checkAbove(realPath, home string) error {
	for dir := filepath.Dir(realPath); ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if err := a.checkOwner(dir, info); err != nil {
			return err
		}
		if dir == home || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (a *Account) checkOwner(path string, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || stat.Uid != 0 && stat.Uid != uint32(a.UID):
		return &UnsafeFileError{path, "belongs to another user"}
	case info.Mode()&0o022 != 0:
		return &UnsafeFileError{path, "others may write it, chmod go-w"}
	}
	return nil
}
