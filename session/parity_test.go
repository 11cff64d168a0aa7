//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// The parity test: one table of uses of a command, run through os/exec and through a session. What a caller can see
// must be the same. The differences that are meant are tests of their own, in difference_test.go.

// A parityCmd is what exec.Cmd and session.Cmd have in common.
type parityCmd interface {
	Run() error
	Start() error
	Wait() error
	Output() ([]byte, error)
	CombinedOutput() ([]byte, error)
	StdinPipe() (io.WriteCloser, error)
	StdoutPipe() (io.ReadCloser, error)
	StderrPipe() (io.ReadCloser, error)
	String() string
	Signal(os.Signal) error
	fields() fields
	state() parityState // nil if there is none
}

type parityState interface {
	ExitCode() int
	Exited() bool
	Success() bool
	String() string
	Pid() int
	UserTime() time.Duration
}

// fields are the exported fields of a command.
type fields struct {
	Path           *string
	Args, Env      *[]string
	Dir            *string
	Stdin          *io.Reader
	Stdout, Stderr *io.Writer
	ExtraFiles     *[]*os.File
	Cancel         *func() error
	WaitDelay      *time.Duration
}

type localCmd struct{ *exec.Cmd }

func (c localCmd) Signal(sig os.Signal) error { return c.Process.Signal(sig) }
func (c localCmd) fields() fields {
	return fields{&c.Path, &c.Args, &c.Env, &c.Dir, &c.Stdin, &c.Stdout, &c.Stderr, &c.ExtraFiles, &c.Cancel, &c.WaitDelay}
}

func (c localCmd) state() parityState {
	if c.ProcessState == nil {
		return nil
	}
	return c.ProcessState
}

type remoteCmd struct{ *session.Cmd }

func (c remoteCmd) fields() fields {
	return fields{&c.Path, &c.Args, &c.Env, &c.Dir, &c.Stdin, &c.Stdout, &c.Stderr, &c.ExtraFiles, &c.Cancel, &c.WaitDelay}
}

func (c remoteCmd) state() parityState {
	if c.ProcessState == nil {
		return nil
	}
	return c.ProcessState
}

// A world is one of the two ways to run commands, for one case.
type world struct {
	*testing.T
	command func(ctx context.Context, name string, arg ...string) parityCmd // ctx nil: Command
	dir     string                                                          // empty at first, its own
	remote  *session.Client                                                 // nil: os/exec
	files   bool                                                            // output goes to files, which can be passed
	notes   []string
}

func (w *world) cmd(name string, arg ...string) parityCmd { return w.command(nil, name, arg...) }

// sh is a command that runs a script.
func (w *world) sh(script string, arg ...string) parityCmd {
	return w.cmd("/bin/sh", append([]string{"-c", script, "sh"}, arg...)...)
}

// commandWithNilContext panics.
func (w *world) commandWithNilContext() {
	var none context.Context
	if w.remote != nil {
		w.remote.CommandContext(none, "true")
	}
	exec.CommandContext(none, "true")
}

func (w *world) shContext(ctx context.Context, script string) parityCmd {
	return w.command(ctx, "/bin/sh", "-c", script)
}

// note adds to what is compared.
func (w *world) note(what string, v ...any) {
	w.notes = append(w.notes, what+": "+fmt.Sprint(v...))
}

// noteErr adds the kind of an error to what is compared.
func (w *world) noteErr(what string, err error) { w.note(what, kindOf(err)) }

// noteEnd adds how a command ended.
func (w *world) noteEnd(c parityCmd, err error) {
	w.noteErr("error", err)
	s := c.state()
	if s == nil {
		w.note("state", "none")
		return
	}
	w.note("state", s.String(), " code ", s.ExitCode(), " exited ", s.Exited(), " success ", s.Success(),
		" pid ", s.Pid() > 0, " times ", s.UserTime() >= 0)
}

// run runs a command and notes all that can be seen of it.
func (w *world) run(c parityCmd) {
	f := c.fields()
	stdout, stderr := w.sink(f.Stdout), w.sink(f.Stderr)
	err := finish(w, "Run", c.Run)
	w.note("stdout", brief(stdout()))
	w.note("stderr", brief(stderr()))
	w.noteEnd(c, err)
}

// sink takes an output that goes nowhere yet, and returns what came.
func (w *world) sink(out *io.Writer) (got func() []byte) {
	switch {
	case *out != nil:
		return func() []byte { return nil }
	case !w.files:
		var b bytes.Buffer
		*out = &b
		return b.Bytes
	}
	f, err := os.CreateTemp(w.TempDir(), "output")
	w.must(err)
	w.Cleanup(func() { _ = f.Close() })
	*out = f
	return func() []byte { return []byte(w.read(f.Name())) }
}

// file makes a file in the case's directory.
func (w *world) file(name, content string, mode os.FileMode) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	// A process that another test starts meanwhile would have the file open for
	// a moment, and a program that is open for writing is busy (execve(2)).
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte(content), 0o600)
	syscall.ForkLock.RUnlock()
	if err != nil {
		w.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		w.Fatal(err)
	}
	return path
}

// open opens a file for the duration of the case.
func (w *world) open(path string, flag int) *os.File {
	w.Helper()
	f, err := os.OpenFile(path, flag|os.O_CREATE, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = f.Close() })
	return f
}

// pipe makes a pipe for the duration of the case.
func (w *world) pipe() (r, wr *os.File) {
	w.Helper()
	r, wr, err := os.Pipe()
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _, _ = r.Close(), wr.Close() })
	return r, wr
}

// must is for steps of a case that cannot fail.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// read reads what a case's command wrote to a file.
func (w *world) read(path string) string {
	w.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	return string(b)
}

var errCustom = errors.New("custom")

// kindOf names the kind of an error as callers tell them apart.
func kindOf(err error) string {
	if err == nil {
		return "nil"
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "exit error: " + exit.Error()
	}
	if exit, ok := errors.AsType[*session.ExitError](err); ok {
		return "exit error: " + exit.Error()
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	text := strings.Replace(err.Error(), "environment variable contains NUL", "invalid", 1)
	for _, prefix := range []string{"exec: ", "session: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

var kinds = []struct {
	err  error
	name string
}{
	{exec.ErrNotFound, "not found"},
	{exec.ErrWaitDelay, "wait delay"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline exceeded"},
	{os.ErrProcessDone, "process done"},
	{os.ErrClosed, "closed"},
	{errCustom, "custom"},
	{io.ErrShortWrite, "short write"},
	{io.EOF, "EOF"},
	{syscall.EPIPE, "broken pipe"},
	{syscall.E2BIG, "too big"},
	{proto.CodeTooBig, "too big"},
	{syscall.EINVAL, "invalid"},
	{proto.CodeInvalid, "invalid"},
	{syscall.ENOEXEC, "not executable"},
	{proto.CodeNotExecutable, "not executable"},
	{fs.ErrNotExist, "not found"},
	{syscall.ENOTDIR, "not found"},
	{proto.CodeNoDirectory, "not found"},
	{fs.ErrPermission, "not executable"},
	{proto.CodeIsDirectory, "not executable"},
}

// brief is all of a short output, and the sum of a long one.
func brief(b []byte) string {
	if len(b) <= 4096 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes, sum %s", len(b), sumOf(b))
}

func TestParity(t *testing.T) {
	eachPath(t, execd.Options{}, func(t *testing.T, l *link) { testParity(t, l.Client, false, parityCases()) })
}

// TestParityPassed is the same where commands get the caller's own files
// wherever they can.
func TestParityPassed(t *testing.T) {
	client, _ := dialPassing(t, &session.Server{Handler: newHandler(t, "")})
	testParity(t, client, true, append(parityCases(), extraCases()...))
}

func testParity(t *testing.T, link *session.Client, files bool, cases []parityCase) {
	local := func(ctx context.Context, name string, arg ...string) parityCmd {
		if ctx == nil {
			return localCmd{exec.Command(name, arg...)}
		}
		return localCmd{exec.CommandContext(ctx, name, arg...)}
	}
	remote := func(ctx context.Context, name string, arg ...string) parityCmd {
		if ctx == nil {
			return remoteCmd{link.Command(name, arg...)}
		}
		return remoteCmd{link.CommandContext(ctx, name, arg...)}
	}
	seen := make(map[string]bool)
	for _, c := range cases {
		if seen[c.name] {
			t.Fatalf("two cases %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			want := &world{T: t, command: local, dir: t.TempDir(), files: files}
			c.run(want)
			got := &world{T: t, command: remote, dir: t.TempDir(), remote: link, files: files}
			c.run(got)
			if diff := cmp.Diff(want.notes, got.notes); diff != "" {
				t.Errorf("-os/exec +session:\n%s", diff)
			}
			if len(want.notes) == 0 {
				t.Error("the case compares nothing")
			}
		})
	}
	t.Logf("%d cases", len(seen))
}

type parityCase struct {
	name string
	run  func(w *world)
}

func parityCases() []parityCase {
	var all []parityCase
	for _, group := range [][]parityCase{
		argumentCases(), environmentCases(), stdinCases(), outputCases(), pipeCases(),
		statusCases(), contextCases(), delayCases(), misuseCases(),
	} {
		all = append(all, group...)
	}
	return all
}
