//go:build unix

package process

import (
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// stdio is both sides of a command's descriptors 0, 1 and 2.
type stdio struct {
	command []int // the command's side, three at least; numbers may repeat
	opened  []int // what closeCommand has to close

	stdin          io.WriteCloser // our side; nil where there is none
	stdout, stderr Output
	term           *terminal
}

// openStdio makes the pipes or the terminal that spec asks for. On an error
// nothing stays open.
func openStdio(spec *Spec) (*stdio, error) {
	s := &stdio{command: make([]int, 3)}
	open := s.openPipes
	switch {
	case spec.Files != nil:
		open = s.take
	case spec.Term != nil && !spec.Term.StdoutOnly:
		open = s.openTerminal
	}
	if err := open(spec); err != nil {
		s.closeCommand()
		_ = s.close()
		return nil, startError(CodeStartFailed, err)
	}
	return s, nil
}

func (s *stdio) openTerminal(spec *Spec) error {
	term, slave, err := openTerminal(spec.Term, spec.Credential)
	if err != nil {
		return err
	}
	s.opened = []int{slave}
	s.command = []int{slave, slave, slave}
	s.term = term
	s.stdin, s.stdout = terminalInput{term}, term.output
	return nil
}

// take makes the descriptors of the spec the command's side.
func (s *stdio) take(spec *Spec) error {
	s.command, s.opened = slices.Clone(spec.Files), owned(spec.Files)
	for n, flag := range [3]int{unix.O_RDONLY, unix.O_WRONLY, unix.O_WRONLY} {
		if s.command[n] < 0 {
			if err := s.openNull(n, flag); err != nil {
				return err
			}
		}
	}
	return nil
}

// owned is each descriptor of a list once.
func owned(files []int) []int {
	fds := slices.Compact(slices.Sorted(slices.Values(files)))
	return slices.DeleteFunc(fds, func(fd int) bool { return fd < 0 })
}

func (s *stdio) openPipes(spec *Spec) error {
	if err := s.openStdin(spec.Stdin); err != nil {
		return err
	}
	out, err := s.openStdout(spec)
	if err != nil {
		return err
	}
	if out != nil {
		s.stdout = out
	}
	if spec.MergeStderr {
		s.command[2] = s.command[1]
		return nil
	}
	out, err = s.openOutput(2, spec.Stderr)
	if err != nil {
		return err
	}
	if out != nil {
		s.stderr = out
	}
	return nil
}

func (s *stdio) openStdin(wanted bool) error {
	if !wanted {
		return s.openNull(0, unix.O_RDONLY)
	}
	r, w, err := pipe()
	if err != nil {
		return os.NewSyscallError("pipe", err)
	}
	s.setCommand(0, r)
	f, err := ourEnd(w, "stdin")
	if err != nil {
		return err
	}
	s.stdin = f
	return nil
}

func (s *stdio) openStdout(spec *Spec) (*output, error) {
	if spec.Term == nil {
		return s.openOutput(1, spec.Stdout)
	}
	term, slave, err := openTerminal(spec.Term, spec.Credential)
	if err != nil {
		return nil, err
	}
	s.setCommand(1, slave)
	return term.output, nil
}

func (s *stdio) openOutput(n int, wanted bool) (*output, error) {
	if !wanted {
		return nil, s.openNull(n, unix.O_WRONLY)
	}
	r, w, err := pipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	s.setCommand(n, w)
	f, err := ourEnd(r, [3]string{1: "stdout", 2: "stderr"}[n])
	if err != nil {
		return nil, err
	}
	return newOutput(f)
}

func (s *stdio) openNull(n, flag int) error {
	fd, err := unix.Open(os.DevNull, flag|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	s.setCommand(n, fd)
	return nil
}

func (s *stdio) setCommand(n, fd int) {
	s.command[n] = fd
	s.opened = append(s.opened, fd)
}

// ourEnd wraps a descriptor so that waiting for it parks a goroutine in the
// poller. The flag belongs to this end of the pipe alone: the command's stays
// blocking, as programs expect.
func ourEnd(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// files returns the command's side as syscall.ProcAttr wants it.
func (s *stdio) files() []uintptr {
	files := make([]uintptr, len(s.command))
	for i, fd := range s.command {
		files[i] = uintptr(fd)
	}
	return files
}

// closeCommand closes the command's side in this process once the command has
// it, so that its end shows as the end of the pipes.
func (s *stdio) closeCommand() {
	closeAll(s.opened)
	s.opened = nil
}

// CloseFiles closes what was to be a Spec's Files, each once, where it comes to
// no [Spawner.Start].
func CloseFiles(files []int) { closeAll(owned(files)) }

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// close closes our side; what is closed already is no error.
func (s *stdio) close() error {
	var errs []error
	if s.term != nil {
		return s.term.hangup()
	}
	if s.stdin != nil {
		errs = append(errs, s.stdin.Close())
	}
	if s.stdout != nil {
		errs = append(errs, s.stdout.Close())
	}
	if s.stderr != nil {
		errs = append(errs, s.stderr.Close())
	}
	for i, err := range errs {
		if errors.Is(err, os.ErrClosed) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
