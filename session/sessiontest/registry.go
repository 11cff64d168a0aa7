package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A registry is the directory in which the processes of a network find each
// other:
//
//	lock           held by who changes something
//	token          what the processes of this network know and others do not
//	faults         what is wrong with the links
//	processes/     an entry for each process, with its address
//	hosts/         an entry for each host that listens, with its process's address
//
// An entry is held: its file is locked by the process that it is about as long
// as that lives, and no longer, since the kernel takes the lock away. That is
// the proof of life; a number of a process is none, for numbers come again.
type registry struct{ dir string }

const (
	processes = "processes"
	hosts     = "hosts"
)

// lockPause is how long who waits for the lock leaves it alone: about as long as
// others have it.
const lockPause = time.Millisecond

// openRegistry makes the directory if it is not there. It must be the user's own
// and closed to others, as must be the one that it is in.
func openRegistry(dir, network string) (*registry, error) {
	r := &registry{filepath.Join(dir, fileName(network))}
	for _, path := range []string{dir, r.dir, r.path(processes), r.path(hosts)} {
		if err := privateDir(path); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func privateDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%q is not a directory", path)
	case !isOwn(info):
		return fmt.Errorf("the directory %q is another user's", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the directory %q is open to others, chmod 700 closes it", path)
	}
	return nil
}

// fileName is a file's name for any name of a host or network. None begins with
// a dot, as names of files that are not ready do.
func fileName(name string) string { return "n-" + url.PathEscape(name) }

func (r *registry) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

// locked changes something, while no other process does, nor another goroutine.
// It waits for them as long as ctx: a process that was stopped keeps the lock.
func (r *registry) locked(ctx context.Context, change func() error) error {
	f, err := os.OpenFile(r.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := waitLock(ctx, f); err != nil {
		return err
	}
	return change()
}

// waitLock tries again and again. Nothing tells of a lock that is free but a
// flock(2) that waits, and what waits so cannot be interrupted by ctx.
func waitLock(ctx context.Context, f *os.File) error {
	for {
		if err := lock(f); !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// write replaces a file at once.
func (r *registry) write(name, text string) error {
	f, err := r.create(name, text)
	if err != nil {
		return err
	}
	return f.Close()
}

// create replaces a file by one that was locked before it had its name.
func (r *registry) create(name, text string) (*os.File, error) {
	temp := filepath.Join(filepath.Dir(r.path(name)), ".new") // one at a time: the caller has the lock
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteString(text); err == nil {
		err = lock(f)
	}
	if err == nil {
		err = os.Rename(temp, r.path(name))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// An entry is one of this process.
type entry struct {
	file *os.File
	path string
}

// hold makes an entry. The caller has the lock, and has seen that nobody alive
// has one of that name.
func (r *registry) hold(kind, name, text string) (*entry, error) {
	relative := filepath.Join(kind, fileName(name))
	f, err := r.create(relative, text)
	if err != nil {
		return nil, err
	}
	return &entry{f, r.path(relative)}, nil
}

// release takes the entry away. The caller has the lock.
func (e *entry) release() error { return errors.Join(os.Remove(e.path), e.file.Close()) }

// look returns what an entry says, if it is of a process that lives.
func (r *registry) look(kind, name string) (text string, alive bool) {
	return r.read(filepath.Join(kind, fileName(name)))
}

func (r *registry) read(relative string) (text string, alive bool) {
	f, err := os.Open(r.path(relative))
	if err != nil {
		return "", false
	}
	defer f.Close()
	if !isLocked(f) {
		return "", false
	}
	b, err := io.ReadAll(f)
	return string(b), err == nil
}

// list returns what the entries of all processes that live say.
func (r *registry) list(kind string) (texts []string, err error) {
	err = r.each(kind, func(relative string) error {
		if text, alive := r.read(relative); alive {
			texts = append(texts, text)
		}
		return nil
	})
	return texts, err
}

// sweep takes away what processes have left that live no more. The caller has
// the lock.
func (r *registry) sweep() error {
	sweep := func(relative string) error {
		if _, alive := r.read(relative); alive {
			return nil
		}
		return os.Remove(r.path(relative))
	}
	return errors.Join(r.each(hosts, sweep), r.each(processes, sweep))
}

func (r *registry) each(kind string, do func(relative string) error) error {
	files, err := os.ReadDir(r.path(kind))
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if err := do(filepath.Join(kind, f.Name())); err != nil {
			return err
		}
	}
	return nil
}
