//go:build unix

package execd

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/process"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

func newTestHandler(t *testing.T, opts Options) *Handler {
	t.Helper()
	if opts.Mode == "" {
		opts.Mode = "group"
	}
	if opts.Shell == "" {
		opts.Shell = "/bin/sh"
	}
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	if h.own == nil { // a container without accounts
		me := &account.Account{Name: "me", UID: os.Getuid(), GID: os.Getgid(), Home: "/", Shell: opts.Shell}
		h.own = ownLogin(me, opts)
	}
	return h
}

// outputOf starts a request and returns what it says on stdout, and its status.
func outputOf(t *testing.T, h *Handler, req *session.Request) (string, int) {
	t.Helper()
	req.Stdout = true
	p, err := h.Start(t.Context(), req)
	if err != nil {
		t.Fatalf("%s: %v", req.Name(), err)
	}
	return finish(t, req.Name(), p)
}

// finish returns what a process says on stdout, and its status.
func finish(t *testing.T, name string, p session.Process) (string, int) {
	t.Helper()
	out, err := io.ReadAll(p.Stdout())
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := p.Release(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return string(out), exit.Code
}

func TestModes(t *testing.T) {
	for _, mode := range []string{"cgroup", "keeper", "group"} {
		h, err := New(Options{Mode: mode, Keeper: []string{"/proc/self/exe", "session-keeper"}})
		if err != nil {
			t.Logf("%s: %v", mode, err)
			continue
		}
		if h.Mode() != mode || h.Reason() == "" {
			t.Errorf("%s: mode %q, reason %q", mode, h.Mode(), h.Reason())
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(Options{Mode: "hope"}); err == nil || !strings.Contains(err.Error(), "hope") {
		t.Errorf("an unknown mode: %v", err)
	}
	if _, err := New(Options{Mode: "keeper"}); err == nil {
		t.Error("keepers without a program")
	}
	h := newTestHandler(t, Options{})
	if h.own.Shell != "/bin/sh" {
		t.Errorf("shell %q", h.own.Shell)
	}
}

func TestDir(t *testing.T) {
	home := t.TempDir()
	for name, dir := range map[string]string{"sub": home + "/sub", "link": home + "/link"} {
		var err error
		if name == "link" {
			err = os.Symlink("sub", dir)
		} else {
			err = os.Mkdir(dir, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h := newTestHandler(t, Options{Home: home})
	for asked, want := range map[string]string{
		"": home, "sub": home + "/sub", "link": home + "/link", "sub/../link": home + "/link", "/tmp": "/tmp", "/": "/",
		"missing": home + "/missing", "..": home[:strings.LastIndexByte(home, '/')],
	} {
		if got, optional := h.own.dir(asked); got != want || optional != (asked == "") {
			t.Errorf("%q: %q, want %q; optional %v", asked, got, want, optional)
		}
	}
	// A home that is not there keeps nobody out, but for who asked for something in it.
	h = newTestHandler(t, Options{Home: home + "/nowhere"})
	if out, _ := outputOf(t, h, &session.Request{Argv: []string{"/bin/pwd"}}); out != "/\n" {
		t.Errorf("without a home: %q", out)
	}
	_, err := h.Start(t.Context(), &session.Request{Argv: []string{"/bin/pwd"}, Dir: "sub"})
	if !errors.Is(err, proto.CodeNoDirectory) {
		t.Errorf("in a missing home: %v", err)
	}
}

func TestPrograms(t *testing.T) {
	h := newTestHandler(t, Options{})
	for name, c := range map[string]struct {
		req  session.Request
		want string
		code int
	}{
		"argv":          {session.Request{Argv: []string{"echo", "a  b", ""}}, "a  b \n", 0},
		"path":          {session.Request{Argv: []string{"zero", "-c", "echo $0"}, Path: "/bin/sh"}, "zero\n", 0},
		"line":          {session.Request{Line: "echo $0 a  b; exit 3", IsLine: true}, "sh a b\n", 3},
		"empty line":    {session.Request{IsLine: true}, "", 0},
		"login shell":   {session.Request{}, "", 0}, // its input is /dev/null
		"own variables": {session.Request{Argv: []string{"printenv", "A"}, Env: []string{"A=1", "PATH=/evil"}}, "1\n", 0},
		"merged":        {session.Request{Argv: []string{"sh", "-c", "echo e >&2; echo o"}, Stderr: true, MergeStderr: true}, "e\no\n", 0},
		"not merged":    {session.Request{Argv: []string{"sh", "-c", "echo e >&2; echo o"}}, "o\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := outputOf(t, h, &c.req); out != c.want || code != c.code {
				t.Errorf("%q, %d", out, code)
			}
		})
	}
}

func TestTermOfItsOwn(t *testing.T) {
	h := newTestHandler(t, Options{})
	req := &session.Request{
		Argv: []string{"sh", "-c", "stty -a; echo $TERM; cat; echo end"}, Env: []string{"B=2"},
		Term: &session.Term{Name: "vt52", Rows: 7, Cols: 44, Modes: map[string]uint32{"echo": 0, "verase": 8, "nonsense": 1}},
	}
	out, code := outputOf(t, h, req) // without stdin its input ends at once
	for _, want := range []string{"rows 7; columns 44", " -echo ", "erase = ^H", "\r\nvt52\r\n", "\r\nend\r\n"} {
		if !strings.Contains(out, want) || code != 0 {
			t.Errorf("no %q in %q", want, out)
		}
	}
	req.Env = []string{"TERM=other"}
	req.Argv = []string{"printenv", "TERM"}
	if out, _ := outputOf(t, h, req); out != "other\r\n" {
		t.Errorf("TERM of env: %q", out)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := dir + "/script"
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := newTestHandler(t, Options{})
	for name, c := range map[string]struct {
		req  session.Request
		code proto.Code
	}{
		"not found":      {session.Request{Argv: []string{"no-such-program-anywhere"}}, proto.CodeNotFound},
		"no such path":   {session.Request{Argv: []string{"/no/such/program"}}, proto.CodeNotFound},
		"no interpreter": {session.Request{Argv: []string{script}}, proto.CodeNotFound},
		"not executable": {session.Request{Argv: []string{file}}, proto.CodeNotExecutable},
		"directory":      {session.Request{Argv: []string{dir}}, proto.CodeIsDirectory},
		"no directory":   {session.Request{Argv: []string{"true"}, Dir: dir + "/missing"}, proto.CodeNoDirectory},
		"dir is a file":  {session.Request{Argv: []string{"true"}, Dir: file}, proto.CodeNoDirectory},
		"NUL":            {session.Request{Argv: []string{"true", "a\x00"}}, proto.CodeInvalid},
		"subsystem":      {session.Request{Subsystem: "sftp"}, proto.CodeNoSubsystem},
		"too big":        {session.Request{Argv: append([]string{"true"}, slices.Repeat([]string{strings.Repeat("x", 131000)}, 80)...)}, proto.CodeTooBig},
	} {
		p, err := h.Start(t.Context(), &c.req)
		refused, ok := errors.AsType[*session.Refusal](err)
		if !ok || refused.Code != c.code || refused.Message == "" || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for shell, code := range map[string]proto.Code{dir + "/nosh": proto.CodeNoShell, dir: proto.CodeNoShell, file: proto.CodeNotExecutable} {
		h := newTestHandler(t, Options{Shell: shell})
		for _, req := range []session.Request{{}, {Line: "true", IsLine: true}} {
			if _, err := h.Start(t.Context(), &req); !errors.Is(err, code) {
				t.Errorf("shell %s: %v", shell, err)
			}
		}
		if out, _ := outputOf(t, h, &session.Request{Argv: []string{"echo", "x"}}); out != "x\n" { // needs no shell
			t.Errorf("shell %s: argv says %q", shell, out)
		}
	}
	h.own, h.noUser = nil, account.ErrNotFound
	_, err := h.Start(t.Context(), &session.Request{Argv: []string{"true"}})
	if !errors.Is(err, proto.CodeUnknownUser) {
		t.Errorf("no account: %v", err)
	}
}

func TestStartIsGivenUp(t *testing.T) {
	h := newTestHandler(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := h.Start(ctx, &session.Request{Argv: []string{"sleep", "600"}})
	if err == nil {
		t.Error("it was started")
		_, _ = p.Kill(), p.Release()
	}
}

// Codes of the process package that the protocol knows are its own; others are start_failed.
func TestRefusalCodes(t *testing.T) {
	for code, want := range map[string]proto.Code{
		process.CodeNotFound: proto.CodeNotFound, process.CodeNotExecutable: proto.CodeNotExecutable,
		process.CodeIsDirectory: proto.CodeIsDirectory, process.CodeTooBig: proto.CodeTooBig,
		process.CodeNoDirectory: proto.CodeNoDirectory, process.CodePermissionDenied: proto.CodePermissionDenied,
		process.CodeStartFailed: proto.CodeStartFailed, process.CodeStartTimeout: proto.CodeStartTimeout,
		process.CodeInvalid: proto.CodeInvalid, "of tomorrow": proto.CodeStartFailed,
	} {
		err := refusal(&process.StartError{Code: code, Err: io.ErrUnexpectedEOF}, false)
		if refused, ok := errors.AsType[*session.Refusal](err); !ok || refused.Code != want || refused.Message != io.ErrUnexpectedEOF.Error() {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := refusal(io.EOF, true); err != io.EOF {
		t.Errorf("another error: %v", err)
	}
}

func TestProcess(t *testing.T) {
	h := newTestHandler(t, Options{Grace: 50 * time.Millisecond})
	p, err := h.Start(t.Context(), &session.Request{Argv: []string{"sleep", "600"}, Env: []string{"LD_X=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Stdin() != nil || p.Stdout() != nil || p.Stderr() != nil {
		t.Error("streams that nobody asked for are not nil")
	}
	if !slices.Equal(p.DroppedEnv(), []string{"LD_X"}) || p.Pid() <= 0 {
		t.Errorf("dropped %q, pid %d", p.DroppedEnv(), p.Pid())
	}
	if err := p.Signal("NOSUCH", session.ToTree); err == nil {
		t.Error("an unknown signal")
	}
	if err := p.Resize(1, 1); err == nil {
		t.Error("a terminal that is none was resized")
	}
	if err := p.Signal("USR1", session.ToGroup); err != nil {
		t.Error(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Signal == nil || exit.Signal.Name != "USR1" || exit.Signal.Number == 0 || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	if exit.Ended.Before(exit.Started) || exit.MaxRSS <= 0 {
		t.Errorf("%+v", exit)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
}
