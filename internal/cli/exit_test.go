package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// testRunner is a runner for a command line, which is not run.
func testRunner(t *testing.T, words ...string) *runner {
	t.Helper()
	inv, err := parseArgs(words, false)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	env := Env{
		Stdin: null, Stdout: null, Stderr: null,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
	}
	r := newRunner(env, newUI(null), inv, false)
	r.cmd = &session.Cmd{}
	return r
}

func TestRefusals(t *testing.T) {
	r := testRunner(t, "--dir", "/no where", "bob@host", "prog ram", "x")
	for _, code := range append(proto.Codes(), "of_the_future") {
		f := r.explain(&session.Error{Name: "prog ram", Code: code, Message: "because"})
		if f.how != howRefused || f.status != code.ExitStatus() || f.hint == "" || !strings.HasSuffix(f.msg, ": because") {
			t.Errorf("%s: %+v", code, f)
		}
		if strings.HasSuffix(f.msg, ".") || strings.HasSuffix(f.hint, ".") || f.msg[0] >= 'A' && f.msg[0] <= 'Z' {
			t.Errorf("%s: style: %q, %q", code, f.msg, f.hint)
		}
	}
	for code, want := range map[proto.Code]string{
		proto.CodeNotFound:    "rex '--dir=/no where' bob@host command -v \"'prog ram'\"",
		proto.CodeNoDirectory: "rex bob@host ls -ld \"'/no where'\"",
		proto.CodeBusy:        "rex '--dir=/no where' bob@host 'prog ram' x",
	} {
		if f := r.explain(&session.Error{Code: code}); !strings.Contains(f.hint, want) {
			t.Errorf("%s: hint %q, want %q", code, f.hint, want)
		}
	}
	if f := r.explain(&session.Error{Name: "prog", Code: proto.CodeNotFound}); f.msg != `command not found: "prog"` {
		t.Errorf("without a message: %q", f.msg)
	}
}

func TestExplain(t *testing.T) {
	lostBy := func(cause error) error { return fmt.Errorf("%w: read: %w", session.ErrConnLost, cause) }
	lost := lostBy(errors.New("cut"))
	for _, c := range []struct {
		name string
		err  error
		msg  string
		hint string
	}{
		{"not started", &session.ExitMissingError{Cause: lost}, "connection lost: it is unknown whether the command was started", "before it is started again: rex -o ConnectTimeout=2 host ps -ef"},
		{"running", &session.ExitMissingError{Started: true, Cause: lost}, "connection lost: the command was running", "rex -o ConnectTimeout=2 host ps -ef"},
		{"ended", &session.ExitMissingError{Cause: lostBy(io.ErrUnexpectedEOF)}, "connection lost, the other end is gone: it", ""},
		{"reset", &session.ExitMissingError{Cause: lostBy(syscall.ECONNRESET)}, "connection lost, the other end is gone: it", ""},
		{"no answer", &session.ExitMissingError{Cause: lostBy(syscall.ETIMEDOUT)}, "connection lost, the other end is silent: it", ""},
		{"silent", &session.ExitMissingError{Cause: lostBy(&transport.SilentPeerError{For: time.Minute})}, "connection lost, the peer has been silent for 1m0s: it", ""},
		{"truncated", fmt.Errorf("%w: 3 bytes", session.ErrTruncated), "bytes are missing: 3 bytes", "again"},
		{"lost before", lost, "connection lost: the command was not started", "rex -v -o ConnectTimeout=2 host x"},
		{"in time", errConnectTimeout, "no answer from host within 2s", "rex -o ConnectTimeout=8 host x"},
		{"other", errors.New("session: reading Stdin: is a directory"), "reading Stdin: is a directory", "rex -v -o ConnectTimeout=2 host x"},
	} {
		r := testRunner(t, "-oConnectTimeout=2", "host", "x")
		out := r.judge(c.err)
		f := out.failure
		if f == nil || out.status != statusOwn || (f.how == howLogin) != (c.name == "lost before") || !strings.Contains(f.msg, c.msg) || !strings.Contains(f.hint, c.hint) {
			t.Errorf("%s: %+v", c.name, f)
		}
		if strings.Contains(f.msg, "session:") {
			t.Errorf("%s: %q names a package", c.name, f.msg)
		}
	}
	r := testRunner(t, "local:", "x")
	r.link.conn = &programConn{}
	for _, err := range []error{lost, &session.ExitMissingError{Cause: lost}} {
		if f := r.explain(err); f.msg != "connection lost: no daemon has answered" || f.hint != "rex -v local: x" {
			t.Errorf("silent: %+v", f)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, c := range []struct {
		missing session.ExitMissingError
		want    string
	}{
		{session.ExitMissingError{}, "whether"},
		{session.ExitMissingError{Started: true}, "running"},
		{session.ExitMissingError{Started: true, Exited: &proto.Exited{Code: 3}}, "status 3"},
		{session.ExitMissingError{Started: true, Exited: &proto.Exited{Signal: &proto.SignalInfo{Number: 9, Name: "KILL"}}}, "signal KILL"},
	} {
		if got := known(&c.missing); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.missing, got)
		}
	}
}

// The status counts only if nothing is missing.
func TestComplete(t *testing.T) {
	exit := &session.ExitError{}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, true},
		{exit, true},
		{session.ErrWaitDelay, true},
		{fmt.Errorf("write: %w", brokenPipe()), true},
		{fmt.Errorf("%w (%w)", session.ErrTruncated, exit), false},
		{fmt.Errorf("%w: %w", session.ErrConnLost, brokenPipe()), false},
		{errors.New("reading Stdin"), false},
	} {
		if got := complete(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

func brokenPipe() error { return &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE} }

func TestUnwritten(t *testing.T) {
	r := testRunner(t, "host", "x")
	r.out.fail(errors.New("cannot write stdout: no space left on device"))
	r.out.fail(errors.New("later"))
	out := r.judge(nil)
	if out.status != statusOwn || out.failure == nil || out.failure.msg != "cannot write stdout: no space left on device" || out.failure.hint == "" {
		t.Errorf("%+v %+v", out, out.failure)
	}
}

func TestConclude(t *testing.T) {
	byInt := outcome{status: 130, record: &session.Record{Signal: &proto.SignalInfo{Number: 2, Name: "INT"}}}
	for _, c := range []struct {
		name        string
		out         outcome
		interrupted bool
		raise       bool
	}{
		{"died of INT after Ctrl-C", byInt, true, true},
		{"died of INT by itself", byInt, false, false},
		{"caught it", outcome{status: 3, record: &session.Record{Code: 3}}, true, false},
		{"died of TERM", outcome{status: 143, record: &session.Record{Signal: &proto.SignalInfo{Number: 15, Name: "TERM"}}}, true, false},
		{"connection lost", failed(fail(howLost, "x")), true, true},
		{"refused", failed(fail(howRefused, "x")), true, false},
	} {
		r := testRunner(t, "host")
		r.interrupted.Store(c.interrupted)
		out := r.conclude(c.out)
		if (out.raise != nil) != c.raise || c.raise && out.status != 130 || !c.raise && out.status != c.out.status {
			t.Errorf("%s: %+v", c.name, out)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "plain": "plain", "bob@host:22": "bob@host:22", "a b": "'a b'", "it's": `"it's"`, "it's $x": `'it'\''s $x'`, "$x": "'$x'", "a\nb": "'a\nb'", "*": "'*'", "grün": "'grün'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
