//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// spare is appended to the path of a socket while it is not ready yet.
const spare = "~"

// maxSocketPath is the longest path of a socket, in bytes: sun_path without
// its NUL (unix(7): 108 bytes on Linux, 104 elsewhere), less the spare name.
var maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1 - len(spare)

// checkName refuses what cannot be the path of a socket whatever is there.
func checkName(path string) error {
	switch {
	case strings.ContainsRune(path, 0):
		return &UnsafePathError{path, "the path contains a NUL byte"}
	case !filepath.IsAbs(path):
		// Also "@name": an abstract name belongs to whoever takes it first.
		return &UnsafePathError{path, "the path is not absolute"}
	case strings.HasSuffix(path, "/"):
		return &UnsafePathError{path, "the path ends in a slash"}
	case len(path) > maxSocketPath:
		return &UnsafePathError{path, fmt.Sprintf("the path has %d bytes, the limit of the system is %d", len(path), maxSocketPath)}
	}
	return nil
}

// checkDirectory refuses the path of a socket to be if somebody other than
// root and uid could place or replace an entry in its directory.
func checkDirectory(path string, uid int) error {
	dir := path[:strings.LastIndexByte(path, '/')] // ".." in it must not be resolved by name
	w := walker{uid: uid}
	fi, err := w.walk(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket %s: %w", printable(path), err)
	}
	if err != nil {
		return explain(path, err)
	}
	if !fi.IsDir() {
		return &UnsafePathError{path, dir + " is not a directory"}
	}
	return explain(path, w.checkParent())
}

// checkSocket refuses a path that somebody other than root and uid could have
// made, and one that is not a socket.
func checkSocket(path string, uid int) error {
	w := walker{uid: uid}
	fi, err := w.walk(path)
	if err != nil {
		return explain(path, err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return &UnsafePathError{path, "not a socket"}
	}
	return explain(path, w.checkParent())
}

// A walker follows a path component by component, symbolic links too, and
// checks the owner of everything it passes and who may write into each
// directory. What root and uid alone could change stays as it was seen.
type walker struct {
	uid   int
	dir   string      // physical path of the directory reached
	info  fs.FileInfo // of dir
	links int
}

// An ExposedError says that somebody other than root and the user in question
// could change a file or what it is.
type ExposedError struct {
	Path     string // the file or directory at fault
	Writable bool   // it is the mode that is wrong, and otherwise the owner
	Reason   string // names the path
}

func (e *ExposedError) Error() string { return printable(e.Reason) }

// CheckFile refuses an open file that somebody other than root and this
// process's user could have written, or put at its path: neither the file nor
// a directory on the way to it may be writable for others, but for sticky
// directories, such as /tmp. The error is an [*ExposedError] if it is about that.
func CheckFile(f *os.File) error {
	path := f.Name()
	opened, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !opened.Mode().IsRegular():
		return &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	if !filepath.IsAbs(path) {
		wd, err := os.Getwd()
		if err != nil {
			return err
		}
		path = wd + "/" + path // ".." in it must not be resolved by name
	}
	w := walker{uid: os.Geteuid()}
	fi, err := w.walk(path)
	switch {
	case err != nil:
		return err
	case !os.SameFile(fi, opened):
		return &fs.PathError{Op: "read", Path: path, Err: errors.New("replaced while it was read")}
	}
	return checkMode("write", path, fi.Mode())
}

// walk follows path, which is absolute, and returns what it ends at.
func (w *walker) walk(path string) (fs.FileInfo, error) {
	if err := w.enter("/"); err != nil {
		return nil, err
	}
	rest := strings.Split(path, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		var link string
		fi, err := w.step(name, &link)
		switch {
		case err != nil:
			return nil, err
		case link != "":
			rest = append(strings.Split(link, "/"), rest...)
		case !fi.IsDir() && len(rest) == 0:
			return fi, nil
		case !fi.IsDir():
			return nil, &fs.PathError{Op: "lstat", Path: path, Err: syscall.ENOTDIR}
		}
	}
	return w.info, nil
}

// step goes from w.dir to the entry name in it. If that is a symbolic link,
// link becomes its target, and w.dir where that begins.
func (w *walker) step(name string, link *string) (fs.FileInfo, error) {
	switch name {
	case "", ".":
		return w.info, nil
	case "..":
		err := w.enter(filepath.Dir(w.dir))
		return w.info, err
	}
	at := filepath.Join(w.dir, name)
	fi, err := os.Lstat(at)
	if err != nil {
		return nil, err
	}
	if err := w.checkOwner(at, fi); err != nil {
		return nil, err
	}
	switch {
	case fi.IsDir():
		return fi, w.enter(at)
	case fi.Mode().Type() == fs.ModeSymlink:
		*link, err = w.follow(at)
	}
	return fi, err
}

func (w *walker) follow(at string) (string, error) {
	if w.links++; w.links > 40 {
		return "", &fs.PathError{Op: "readlink", Path: at, Err: syscall.ELOOP}
	}
	target, err := os.Readlink(at)
	if err == nil && filepath.IsAbs(target) {
		err = w.enter("/")
	}
	return target, err
}

// enter makes dir the directory reached. A directory that others may write
// into will do on the way if it is sticky (as /tmp is): they cannot rename or
// remove the next component, whose owner is checked.
func (w *walker) enter(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if err := w.checkOwner(dir, fi); err != nil {
		return err
	}
	w.dir, w.info = dir, fi
	if fi.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	return w.checkParent()
}

// checkParent refuses the directory reached if others may create entries in
// it; sticky is not enough for the one that holds a socket.
func (w *walker) checkParent() error { return checkMode("write into", w.dir, w.info.Mode()) }

// checkMode refuses a mode with which others may do so to path.
func checkMode(do, path string, mode fs.FileMode) error {
	who := ""
	switch {
	case mode.Perm()&0o002 != 0:
		who = "everybody"
	case mode.Perm()&0o020 != 0:
		who = "its group"
	default:
		return nil
	}
	octal := mode.Perm()
	if mode&fs.ModeSticky != 0 {
		octal |= 0o1000
	}
	return &ExposedError{path, true, fmt.Sprintf("%s may %s %s (mode %o)", who, do, path, octal)}
}

func (w *walker) checkOwner(path string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return &ExposedError{path, false, "the owner of " + path + " is unknown"}
	case st.Uid == 0 || int64(st.Uid) == int64(w.uid):
		return nil
	case w.uid == 0:
		return &ExposedError{path, false, fmt.Sprintf("%s is owned by uid %d, not by root", path, st.Uid)}
	}
	return &ExposedError{path, false, fmt.Sprintf("%s is owned by uid %d, neither by root nor by uid %d", path, st.Uid, w.uid)}
}

// explain turns a reason of the walker into an error about path.
func explain(path string, err error) error {
	if e, ok := errors.AsType[*ExposedError](err); ok {
		return &UnsafePathError{path, e.Reason}
	}
	return err
}
