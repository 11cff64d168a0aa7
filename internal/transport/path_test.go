//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckName(t *testing.T) {
	longest := "/" + strings.Repeat("x", maxSocketPath-1)
	for path, want := range map[string]string{
		"/run/rex/rexd.sock":  "",
		longest:               "",
		longest + "x":         "limit of the system",
		"":                    "not absolute",
		"@abstract":           "not absolute",
		"\x00abstract":        "NUL",
		"/run/rex\x00.sock":   "NUL",
		"relative/rexd.sock":  "not absolute",
		"./rexd.sock":         "not absolute",
		"/run/rex/":           "slash",
		"/":                   "slash",
		"unix:/run/rexd.sock": "not absolute",
	} {
		err := checkName(path)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", path, err)
			}
			continue
		}
		if e, ok := errors.AsType[*UnsafePathError](err); !ok || !strings.Contains(e.Reason, want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

// TestLongestPath makes sure that the limit leaves room for the spare name,
// and is not one byte lower than it must be.
func TestLongestPath(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, strings.Repeat("s", maxSocketPath-len(dir)-1))
	l, err := ListenUnix(path, UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	c, err := DialUnix(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := ListenUnix(path+"s", UnixOptions{}); err == nil {
		t.Error("no error for a path that is too long")
	}
}

// A place is a directory structure with a socket's path in it.
type place struct {
	name string
	make func(t *testing.T, dir string) (path string)
	bad  string // part of the reason; empty if it is good
	root bool   // needs root to make
}

func mkdir(t *testing.T, mode os.FileMode, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t *testing.T, target string, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func chown(t *testing.T, name string, uid int) {
	t.Helper()
	if err := os.Lchown(name, uid, uid); err != nil {
		t.Fatal(err)
	}
}

const stranger = 12345 // a uid without an account

func places() []place {
	const sock = "rexd.sock"
	return []place{
		{name: "private", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o700, dir, "a"), sock)
		}},
		{name: "readable", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o755, dir, "a"), sock)
		}},
		{name: "world", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o777, dir, "a"), sock)
		}},
		{name: "sticky", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o777|os.ModeSticky, dir, "a"), sock)
		}},
		{name: "group", bad: "group may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o775, dir, "a"), sock)
		}},
		{name: "sticky group", bad: "group may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o770|os.ModeSticky, dir, "a"), sock)
		}},
		{name: "below sticky", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o700, mkdir(t, 0o777|os.ModeSticky, dir, "a"), "b"), sock)
		}},
		{name: "below world", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o700, mkdir(t, 0o777, dir, "a"), "b"), sock)
		}},
		{name: "below group", bad: "group may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(mkdir(t, 0o700, mkdir(t, 0o770, dir, "a"), "b"), sock)
		}},
		{name: "through good link", make: func(t *testing.T, dir string) string {
			mkdir(t, 0o700, dir, "a")
			return filepath.Join(link(t, "./a/../a", dir, "l"), sock)
		}},
		{name: "through absolute link", make: func(t *testing.T, dir string) string {
			return filepath.Join(link(t, mkdir(t, 0o700, dir, "a"), dir, "l"), sock)
		}},
		{name: "through link to world", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			return filepath.Join(link(t, mkdir(t, 0o777, dir, "a"), dir, "l"), sock)
		}},
		{name: "link in world", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			good := mkdir(t, 0o700, dir, "a")
			return filepath.Join(link(t, good, mkdir(t, 0o777, dir, "w"), "l"), sock)
		}},
		{name: "dots through world", bad: "everybody may write", make: func(t *testing.T, dir string) string {
			mkdir(t, 0o700, dir, "a")
			return mkdir(t, 0o777, dir, "w") + "/../a/" + sock
		}},
		{name: "other owner", root: true, bad: "is owned by uid 12345", make: func(t *testing.T, dir string) string {
			d := mkdir(t, 0o755, dir, "a")
			chown(t, d, stranger)
			return filepath.Join(d, sock)
		}},
		{name: "below other owner", root: true, bad: "is owned by uid 12345", make: func(t *testing.T, dir string) string {
			d := mkdir(t, 0o755, dir, "a")
			b := mkdir(t, 0o700, d, "b")
			chown(t, d, stranger)
			return filepath.Join(b, sock)
		}},
		{name: "link of other owner", root: true, bad: "is owned by uid 12345", make: func(t *testing.T, dir string) string {
			l := link(t, mkdir(t, 0o700, dir, "a"), mkdir(t, 0o777|os.ModeSticky, dir, "w"), "l")
			chown(t, l, stranger)
			return filepath.Join(l, sock)
		}},
		{name: "directory of other owner in sticky", root: true, bad: "is owned by uid 12345", make: func(t *testing.T, dir string) string {
			d := mkdir(t, 0o700, mkdir(t, 0o777|os.ModeSticky, dir, "w"), "a")
			chown(t, d, stranger)
			return filepath.Join(d, sock)
		}},
	}
}

// TestPlaces checks both ends in the same places.
func TestPlaces(t *testing.T) {
	for _, p := range places() {
		t.Run(p.name, func(t *testing.T) {
			if p.root {
				needRoot(t)
			}
			path := p.make(t, socketDir(t))
			l, err := ListenUnix(path, UnixOptions{})
			checkUnsafe(t, "listen", err, p.bad)
			if l == nil { // have a socket there all the same
				l = listen(t, UnixOptions{})
				if err := os.Link(l.path, path); err != nil {
					t.Fatal(err)
				}
			}
			defer l.Close()
			serve(t, l)
			c, err := DialUnix(t.Context(), path, "")
			checkUnsafe(t, "dial", err, p.bad)
			if c != nil {
				c.Close()
			}
		})
	}
}

func checkUnsafe(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	if e, ok := errors.AsType[*UnsafePathError](err); !ok || !strings.Contains(e.Reason, want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestPlacesThatAreNot(t *testing.T) {
	dir := socketDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link(t, "loop", dir, "loop")
	for path, want := range map[string]error{
		dir + "/missing/rexd.sock": os.ErrNotExist,
		dir + "/loop/rexd.sock":    syscall.ELOOP,
		dir + "/file/sub/s":        syscall.ENOTDIR,
	} {
		if _, err := ListenUnix(path, UnixOptions{}); !errors.Is(err, want) {
			t.Errorf("listen %s: %v, want %v", path, err, want)
		}
		if _, err := DialUnix(t.Context(), path, ""); !errors.Is(err, want) {
			t.Errorf("dial %s: %v, want %v", path, err, want)
		}
	}
	_, err := ListenUnix(file+"/rexd.sock", UnixOptions{})
	checkUnsafe(t, "listen", err, "not a directory")
	_, err = DialUnix(t.Context(), file, "")
	checkUnsafe(t, "dial", err, "not a socket")
}

// TestDialThroughLink follows a link to the socket itself.
func TestDialThroughLink(t *testing.T) {
	l := listen(t, UnixOptions{})
	serve(t, l)
	dir := socketDir(t)
	good := link(t, l.path, dir, "good.sock")
	c, err := DialUnix(t.Context(), good, "")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	bad := link(t, l.path, mkdir(t, 0o777, dir, "w"), "bad.sock")
	_, err = DialUnix(t.Context(), bad, "")
	checkUnsafe(t, "dial", err, "everybody may write")
}
