//go:build unix

package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is where execvp(3) looks when the environment has no PATH.
const defaultPath = "/bin:/usr/bin"

// findPrograms returns the files to execute, the first that can be: path itself
// if it has a slash, else the executables of that name in the PATH of env, of
// which there is at least one. Relative results are relative to dir, where the
// child will be when it executes them.
func findPrograms(path, dir string, env []string) (files []string, err error) {
	if strings.Contains(path, "/") {
		return []string{path}, nil
	}
	denied := false
	for _, place := range filepath.SplitList(pathOf(env)) {
		file := place + "/" + path
		if place == "" {
			file = "./" + path // an empty element is the working directory
		}
		switch err := executable(within(dir, file)); {
		case err == nil:
			files = append(files, file)
		case errors.Is(err, fs.ErrPermission):
			denied = true
		}
	}
	switch {
	case len(files) > 0:
		return files, nil
	case denied:
		return nil, startError(CodeNotExecutable, fmt.Errorf("%q in PATH: %w", path, syscall.EACCES))
	}
	return nil, startError(CodeNotFound, fmt.Errorf("%q in PATH: %w", path, syscall.ENOENT))
}

// pathOf returns PATH; of several the first, as getenv(3).
func pathOf(env []string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			return value
		}
	}
	return defaultPath
}

// within makes a name that the child resolves in dir one that we can resolve.
func within(dir, name string) string {
	if dir == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return dir + "/" + name // not cleaned: "a/.." is not "." if a is a symbolic link
}

// executable tells whether file is a file that this user may execute.
// Directories are passed over, as shells do.
func executable(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return syscall.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}

func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return startError(CodeNoDirectory, fmt.Errorf("directory %q: %w", dir, syscall.ENOTDIR))
	case err == nil:
		err = unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS)
	}
	return pathError("directory", dir, err, CodeNoDirectory)
}

// pathError gives the code for a failed look at a path; missing is that for
// one that does not exist.
func pathError(what, path string, err error, missing string) error {
	if err == nil {
		return nil
	}
	code := CodeStartFailed
	switch errno := errnoOf(err); errno {
	case syscall.ENOENT, syscall.ENOTDIR:
		code = missing
	case syscall.EACCES, syscall.EPERM:
		code = CodePermissionDenied
	case syscall.ELOOP, syscall.ENAMETOOLONG:
		code = missing
		if missing == CodeNotFound {
			code = CodeNotExecutable // as shells see it: 126
		}
	}
	return startError(code, fmt.Errorf("%s %q: %w", what, path, errnoOf(err)))
}

func errnoOf(err error) syscall.Errno {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno
}

// explain turns the errno of a failed start into a StartError. The kernel does
// not say which step failed, so it looks again at what the steps touched, in
// their order.
func explain(err error, program, dir string) error {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return startError(CodeStartFailed, err)
	}
	if err := checkDir(dir); err != nil {
		return err
	}
	if errno == syscall.E2BIG {
		return startError(CodeTooBig, fmt.Errorf("arguments and environment: %w", errno))
	}
	file := within(dir, program)
	info, statErr := os.Stat(file)
	switch {
	case statErr != nil:
		return pathError("program", program, statErr, CodeNotFound)
	case info.IsDir():
		return startError(CodeIsDirectory, fmt.Errorf("program %q: %w", program, syscall.EISDIR))
	}
	return explainExec(errno, program, file)
}

// explainBlindly is explain without a look at the files, for who may not look
// with the rights of the command.
func explainBlindly(err error, program string) error {
	switch errno := errnoOf(err); errno {
	case syscall.E2BIG:
		return startError(CodeTooBig, fmt.Errorf("arguments and environment: %w", errno))
	case syscall.ENOEXEC, syscall.ETXTBSY:
		return startError(CodeNotExecutable, fmt.Errorf("program %q: %w", program, errno))
	}
	return pathError("directory or program", program, err, CodeNotFound)
}

// explainExec is about a program that exists and is no directory.
func explainExec(errno syscall.Errno, program, file string) error {
	switch errno {
	case syscall.ENOENT: // execve(2) says so when the interpreter is missing
		return startError(CodeNotFound, fmt.Errorf("interpreter%s of %q: %w", interpreter(file), program, errno))
	case syscall.EACCES, syscall.ENOEXEC, syscall.ETXTBSY, syscall.ELOOP, syscall.ENOTDIR, syscall.EISDIR:
		return startError(CodeNotExecutable, fmt.Errorf("program %q: %w", program, errno))
	}
	return startError(CodeStartFailed, fmt.Errorf("start of %q: %w", program, errno))
}

// interpreter returns what the #! line of a script names, quoted after a
// space; nothing for a binary or an unreadable script.
func interpreter(file string) string {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	buf := make([]byte, 256) // as much as the kernel looks at
	n, err := unix.Read(fd, buf)
	if err != nil {
		return ""
	}
	line, ok := bytes.CutPrefix(buf[:n], []byte("#!"))
	if !ok {
		return ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if fields := bytes.Fields(line); len(fields) > 0 {
		return fmt.Sprintf(" %q", fields[0])
	}
	return ""
}
