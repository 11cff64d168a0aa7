//go:build linux

package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What can be done to a cgroup by the name of its directory alone, as is
// needed for those that a predecessor left.

func killAndRemove(dir string) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := kill(dir); err != nil {
		return err
	}
	if err := awaitEmpty(ctx, dir); err != nil {
		return err
	}
	return removeAll(dir)
}

func kill(dir string) error { return writeFile(filepath.Join(dir, "cgroup.kill"), "1") }

// processes returns the pids in the cgroup dir and in those below it. What
// cannot be read is left out: it has just been removed, or is threaded and its
// processes show further up.
func processes(dir string) []int {
	var pids []int
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, field := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0: not in our pid namespace
			pids = append(pids, pid)
		}
	}
	below, _ := subdirs(dir)
	for _, d := range below {
		pids = append(pids, processes(d)...)
	}
	return pids
}

// removeAll removes the cgroup dir and those below it, deepest first.
func removeAll(dir string) error {
	err := os.Remove(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	below, _ := subdirs(dir)
	if len(below) == 0 {
		return err
	}
	for _, d := range below {
		if err := removeAll(d); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// writeFile writes to a control file in one call. (os.WriteFile would ask to
// create and truncate it.)
func writeFile(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// awaitEmpty waits for "populated 0" in cgroup.events of dir, which the kernel
// announces to pollers of that file.
func awaitEmpty(ctx context.Context, dir string) error {
	name := filepath.Join(dir, "cgroup.events")
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // somebody removed it, so it was empty
	} else if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var empty bool
	var readErr error
	err = conn.Read(func(fd uintptr) bool {
		empty, readErr = readEmpty(int(fd))
		return empty || readErr != nil
	})
	switch {
	case empty:
		return nil
	case readErr != nil:
		return &os.PathError{Op: "read", Path: name, Err: readErr}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

func readEmpty(fd int) (bool, error) {
	buf := make([]byte, 256)
	n, err := unix.Pread(fd, buf, 0)
	if errors.Is(err, unix.ENODEV) {
		return true, nil // removed while it was open
	}
	return strings.Contains("\n"+string(buf[:max(n, 0)]), "\npopulated 0\n"), err
}
