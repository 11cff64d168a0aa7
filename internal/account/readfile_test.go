//go:build unix

package account

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// me is the account of this process, at home in a new directory.
func me(t *testing.T) *Account {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(home, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Account{Name: "me", UID: os.Getuid(), GID: os.Getgid(), Groups: []int{os.Getgid()}, Home: home, Shell: "/bin/sh"}
}

func TestReadFile(t *testing.T) {
	a := me(t)
	file := a.Home + "/file"
	write(t, file, "text", 0o600)
	if text, err := a.ReadFile(t.Context(), file, 4); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := a.ReadFile(t.Context(), file, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := a.ReadFile(t.Context(), file+"none", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := a.ReadFile(t.Context(), "/dev/zero", 4); !isUnsafe(err) {
		t.Errorf("endless: %v", err)
	}
}

func isUnsafe(err error) bool {
	_, ok := errors.AsType[*UnsafeFileError](err)
	return ok
}

// The table of OpenSSH's strict modes.
func TestStrictModes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *Account, dir, file string) error
		safe   bool
	}{
		"private": {func(_ *Account, dir, file string) error { return nil }, true},
		"readable": {func(_ *Account, dir, file string) error {
			return errors.Join(os.Chmod(file, 0o644), os.Chmod(dir, 0o755))
		}, true},
		"group-writable":   {func(_ *Account, _, file string) error { return os.Chmod(file, 0o620) }, false},
		"world-writable":   {func(_ *Account, _, file string) error { return os.Chmod(file, 0o602) }, false},
		"directory":        {func(_ *Account, dir, _ string) error { return os.Chmod(dir, 0o770) }, false},
		"sticky directory": {func(_ *Account, dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, false},
		"home":             {func(a *Account, _, _ string) error { return os.Chmod(a.Home, 0o720) }, false},
		"above the home": {func(a *Account, dir, _ string) error {
			a.Home = dir // what is above it does not matter
			return os.Chmod(filepath.Dir(dir), 0o777)
		}, true},
		"outside of the home": {func(a *Account, dir, _ string) error {
			a.Home += "/elsewhere" // so it is judged up to the root, and /tmp is everybody's
			return nil
		}, false},
		"a link to the home": {func(a *Account, _, _ string) error {
			link := filepath.Join(filepath.Dir(a.Home), "link")
			err := os.Symlink(a.Home, link)
			a.Home = link
			return err
		}, true},
		"a link out": {func(a *Account, _, file string) error {
			out := filepath.Join(filepath.Dir(a.Home), "out")
			return errors.Join(os.Rename(file, out), os.Symlink(out, file))
		}, false},
		"a link within": {func(a *Account, _, file string) error {
			return errors.Join(os.Rename(file, a.Home+"/other"), os.Symlink("../other", file))
		}, true},
		"a link into an open directory": {func(a *Account, _, file string) error {
			open := a.Home + "/open"
			return errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Rename(file, open+"/file"), os.Symlink(open+"/file", file))
		}, false},
		"directory instead": {func(_ *Account, _, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, false},
		"FIFO": {func(_ *Account, _, file string) error {
			return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600))
		}, false},
	} {
		a := me(t)
		dir := a.Home + "/.ssh"
		file := dir + "/keys"
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, file, "text", 0o600)
		if err := c.change(a, dir, file); err != nil {
			t.Fatal(err)
		}
		text, err := a.ReadFile(t.Context(), file, 100)
		if c.safe && (err != nil || string(text) != "text") || !c.safe && !isUnsafe(err) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A read that hangs is given up, and not more than a few of a user are let hang.
func TestReadFileHangs(t *testing.T) {
	a := me(t)
	hang := make(chan struct{})
	back := make(chan struct{}, 2*maxReads)
	var files Files
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range maxReads {
		if !files.enter(a.UID) {
			t.Fatal("refused too early")
		}
		go func() { // as in a dead mount
			<-hang
			files.leave(a.UID)
			back <- struct{}{}
		}()
	}
	write(t, a.Home+"/file", "text", 0o600)
	if _, err := files.ReadFile(t.Context(), a, a.Home+"/file", 10); !errors.Is(err, ErrBusy) {
		t.Errorf("while all hang: %v", err)
	}
	other := *a
	other.UID++ // somebody else's reads are not in the way, whatever they give
	if _, err := files.ReadFile(t.Context(), &other, a.Home+"/file", 10); errors.Is(err, ErrBusy) {
		t.Errorf("another user: %v", err)
	}
	close(hang)
	for range maxReads {
		<-back
	}
	if text, err := files.ReadFile(t.Context(), a, a.Home+"/file", 10); err != nil || string(text) != "text" {
		t.Errorf("afterwards: %q, %v", text, err)
	}
	if len(files.reading) != 0 {
		t.Errorf("left: %v", files.reading)
	}
	returned := make(chan struct{})
	_, err := a.readFile(ctx, a.Home+"/file", 10, func() { close(returned) })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	<-returned
}

func TestFilesParallel(t *testing.T) {
	a := me(t)
	write(t, a.Home+"/file", "text", 0o600)
	var files Files
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if text, err := files.ReadFile(t.Context(), a, a.Home+"/file", 10); err == nil && string(text) != "text" || err != nil && !errors.Is(err, ErrBusy) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	wg.Wait()
}

// What root must not read for a user.
func TestReadFileAsUser(t *testing.T) {
	name, home := newUser(t)
	a, err := Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	own := func(path string, uid int) {
		t.Helper()
		if err := os.Lchown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	place := func(path string, mode os.FileMode, uid int) string {
		t.Helper()
		path = home + "/" + path
		write(t, path, "text", mode)
		own(path, uid)
		return path
	}
	link := func(to, from string) string {
		t.Helper()
		from = home + "/" + from
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
		own(from, a.UID)
		return from
	}
	fifo := home + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	own(fifo, a.UID)
	hard := home + "/hard"
	others := place("others", 0o644, a.UID+1)
	if err := os.Link(others, hard); err != nil {
		t.Fatal(err)
	}
	open := home + "/open"
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	own(open, a.UID)
	place("open/file", 0o600, a.UID)
	if err := os.Chmod(open, 0o770); err != nil {
		t.Fatal(err)
	}
	denied := func(err error) bool { return errors.Is(err, fs.ErrPermission) }
	for what, c := range map[string]struct {
		path string
		ok   func(error) bool
	}{
		"own":                   {place("own", 0o600, a.UID), func(err error) bool { return err == nil }},
		"root's that is open":   {place("open-root", 0o644, 0), func(err error) bool { return err == nil }},
		"root's":                {place("root", 0o600, 0), denied},
		"own that is closed":    {place("closed", 0, a.UID), denied},
		"a link to the shadows": {link("/etc/shadow", "shadow"), denied},
		"a link to root's":      {link("root", "to-root"), denied},
		"through /proc":         {link("/proc/1/environ", "environ"), denied},
		"through our own":       {link("/proc/self/environ", "self"), func(err error) bool { return err != nil }},
		"another's":             {others, isUnsafe},
		"a hard link":           {hard, isUnsafe},
		"FIFO":                  {fifo, isUnsafe},
		"a terminal":            {"/dev/tty", func(err error) bool { return err != nil }},
		"group-writable":        {place("group", 0o660, a.UID), isUnsafe},
		"in an open directory":  {open + "/file", isUnsafe},
	} {
		text, err := a.ReadFile(t.Context(), c.path, 100)
		if !c.ok(err) || err == nil && string(text) != "text" {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
	if _, err := os.ReadFile(home + "/root"); err != nil {
		t.Errorf("root itself: %v", err) // the other threads are what they were
	}
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), "Uid:\t0\t0\t0\t0\n") {
		t.Errorf("%v\n%s", err, status)
	}
}

// The directory may be the user's alone and still be read.
func TestReadFileInPrivateHome(t *testing.T) {
	name, home := newUser(t)
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, home+"/file", "text", 0o600)
	if err := os.Chown(home+"/file", a.UID, a.GID); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if text, err := a.ReadFile(t.Context(), home+"/file", 100); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	t.Logf("one read took %v", time.Since(start))
}
