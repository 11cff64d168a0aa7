//go:build linux

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stat is one process as /proc/<pid>/stat showed it (proc_pid_stat(5)).
// Pid and Start together name a process for as long as the machine runs.
type Stat struct {
	Pid, Parent, Group, Session int
	State                       byte
	Threads                     int
	Start                       uint64 // clock ticks since boot
}

// Alive tells a running, sleeping or stopped process from a zombie. A process
// whose first thread has ended while others go on looks like a zombie but for
// the number of its threads.
func (s Stat) Alive() bool {
	switch s.State {
	case 'Z', 'X', 'x':
		return s.Threads > 1
	}
	return true
}

// The fields of /proc/<pid>/stat after the command name, counted from 0.
const (
	fieldState   = 0
	fieldParent  = 1
	fieldGroup   = 2
	fieldSession = 3
	fieldThreads = 17
	fieldStart   = 19
)

// parse reads the content of a stat file. The command name may hold anything,
// parentheses and newlines too, so the fields begin after the last ')'.
func parse(b []byte) (Stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return Stat{}, fmt.Errorf("stat without a command name: %.40q", b)
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) <= fieldStart || len(fields[fieldState]) != 1 {
		return Stat{}, fmt.Errorf("stat with %d fields", len(fields))
	}
	n := numbers{}
	s := Stat{
		Pid:     n.int(bytes.TrimSpace(b[:open])),
		State:   fields[fieldState][0],
		Parent:  n.int(fields[fieldParent]),
		Group:   n.int(fields[fieldGroup]),
		Session: n.int(fields[fieldSession]),
		Threads: n.int(fields[fieldThreads]),
		Start:   n.uint64(fields[fieldStart]),
	}
	return s, n.err
}

// numbers parses one number after the other and keeps the first error.
type numbers struct{ err error }

func (n *numbers) int(b []byte) int {
	v, err := strconv.Atoi(string(b))
	n.err = errors.Join(n.err, err)
	return v
}

func (n *numbers) uint64(b []byte) uint64 {
	v, err := strconv.ParseUint(string(b), 10, 64)
	n.err = errors.Join(n.err, err)
	return v
}

// Read returns the process with that pid. If there is none the error is
// fs.ErrNotExist or ESRCH.
func Read(pid int) (Stat, error) {
	b, err := readFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Stat{}, err
	}
	return parse(b)
}

// readFile reads a small file in one call, so that what it returns is one
// consistent view, and without the poller, which cannot watch these files.
func readFile(name string) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 1024) // a stat line has about 50 numbers and a name of at most 64 bytes
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return buf[:n], nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// All returns every process that is visible. It is no snapshot: processes
// start and end while it reads; those that vanish are left out.
func All() ([]Stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make([]Stat, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // not a process
		}
		if s, err := Read(pid); err == nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// Signal sends the signals in their order to that process and no other: the
// pid is pinned by a pidfd and the start time compared before the first is
// sent. A process that has ended is no error.
func (s Stat) Signal(sigs ...syscall.Signal) error {
	return Signal(s.Pid, func() bool {
		now, err := Read(s.Pid)
		return err == nil && now.Start == s.Start
	}, sigs...)
}

// Signal pins the process that has this pid now, asks same whether it is the
// one that is meant, and sends it the signals in their order. No such process
// is no error.
func Signal(pid int, same func() bool, sigs ...syscall.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil // gone
	}
	send := func(sig syscall.Signal) error { return unix.PidfdSendSignal(fd, sig, nil, 0) }
	if err != nil { // before Linux 5.3, or no descriptor left: the window stays, but small
		send = func(sig syscall.Signal) error { return unix.Kill(pid, sig) }
	} else {
		defer unix.Close(fd)
	}
	if !same() {
		return nil
	}
	for _, sig := range sigs {
		if err := send(sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal %d to process %d: %w", int(sig), pid, err)
		}
	}
	return nil
}
