//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// The end of output after the end of the command, and the end record.

// The default is to wait for the end of output, as ssh does.
func TestDrainUntilEOF(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		link := connect(t, &session.Server{Handler: newHandler(t, mode)})
		goFile := t.TempDir() + "/go"
		cmd := link.sh(`(while ! [ -e "$1" ]; do sleep 0.01; done; echo late) & echo early; exit 3`, goFile)
		var out bytes.Buffer
		cmd.Stdout = &out
		mustStart(t, cmd)
		within(t, "the command exits", cmd.Exited())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		if err := os.WriteFile(goFile, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err := finish(t, "Wait", func() error { return <-done })
		if kindOf(err) != "exit error: exit status 3" || out.String() != "early\nlate\n" {
			t.Errorf("Wait: %v, output %q", err, out.String())
		}
		if r := cmd.ProcessState.Record(); r.Output != proto.OutputComplete {
			t.Errorf("record %+v", r)
		}
	})
}

// Without waiting, and with a bound, what the command wrote itself arrives all the same.
func TestDrainIsBounded(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		for _, drain := range []time.Duration{-1, 50 * time.Millisecond} {
			for _, c := range []struct{ script, want string }{
				{"exit 0", "wait delay"},
				{"exit 3", "exit error: exit status 3"},
				{"kill -KILL $$", "exit error: signal: killed"},
			} {
				word := aeon()
				killAtEnd(t, word)
				link := connect(t, &session.Server{Handler: newHandler(t, mode)})
				cmd := link.sh("sleep " + word + " & seq 1 100000; " + c.script)
				cmd.Drain = drain
				var out, errs bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &errs
				if err := finish(t, "Run", cmd.Run); kindOf(err) != c.want {
					t.Errorf("%v, %s: %v", drain, c.script, err)
				}
				if out.Len() != 588895 {
					t.Errorf("%v, %s: %d bytes", drain, c.script, out.Len())
				}
				if r := cmd.ProcessState.Record(); r.Output != proto.OutputAbandoned {
					t.Errorf("%v, %s: record %+v", drain, c.script, r)
				}
				eventually(t, "the background is alive", isAlive(t, word))
			}
		}
	})
}

// Only silence counts: a slow reader loses nothing of what the command wrote.
func TestDrainWaitsForSlowReaders(t *testing.T) {
	eachPath(t, execd.Options{}, testDrainWaitsForSlowReaders)
}

func testDrainWaitsForSlowReaders(t *testing.T, link *link) {
	cmd := link.Command("seq", "1", "40000") // less than the window and the pipe hold
	cmd.Drain = -1
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	within(t, "the command exits", cmd.Exited())
	all, err := io.ReadAll(iotestSlow{out})
	if err != nil || len(all) != 228894 {
		t.Errorf("%d bytes, %v", len(all), err)
	}
	if err := finish(t, "Wait", cmd.Wait); err != nil {
		t.Errorf("Wait: %v", err)
	}
}

// iotestSlow reads little at a time.
type iotestSlow struct{ io.Reader }

func (r iotestSlow) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1000)]) }

// Output that ends with the command is never taken for abandoned, however short the time.
func TestDrainIsNotTooEager(t *testing.T) {
	for name, term := range map[string]*session.Term{"pipe": nil, "pty": {Name: "dumb", Rows: 24, Cols: 80}} {
		t.Run(name, func(t *testing.T) {
			link := newLink(t)
			for i := range amount(50) {
				cmd := link.Command("printf", "%s", strings.Repeat("x", 1+37*i))
				cmd.Drain, cmd.Term = -1, term
				out, err := finishOutput(t, cmd)
				if err != nil || len(out) != 1+37*i {
					t.Fatalf("round %d: %d bytes, %v", i, len(out), err)
				}
			}
		})
	}
}

// Stdout that nobody reads any more does not disturb stderr, nor the other way round.
func TestOneOutputStops(t *testing.T) { eachPath(t, execd.Options{}, testOneOutputStops) }

func testOneOutputStops(t *testing.T, link *link) {
	const script = `trap '' PIPE; echo out; echo err >&2; read go; seq 1 50000; seq 1 50000 >&2; exit 6`
	for _, stop := range []string{"stdout", "stderr"} {
		cmd := link.sh(script)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		errs, _ := cmd.StderrPipe()
		mustStart(t, cmd)
		readLine(t, out)
		readLine(t, errs)
		stopped, other := out, errs
		if stop == "stderr" {
			stopped, other = errs, out
		}
		if err := stopped.Close(); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Error(err)
		}
		all, err := io.ReadAll(other)
		text := string(all)
		if err != nil || !strings.HasSuffix(text, "50000\n") || strings.Count(text, "\n") < 50000 {
			t.Errorf("%s stopped: read %d bytes, %v", stop, len(all), err)
		}
		if err := finish(t, "Wait", cmd.Wait); kindOf(err) != "exit error: exit status 6" {
			t.Errorf("%s stopped: %v", stop, err)
		}
	}
}

// A command that is stopped in the midst of a write gets SIGPIPE at once, however full everything is.
func TestStopWhileWriting(t *testing.T) { eachPath(t, execd.Options{}, testStopWhileWriting) }

func testStopWhileWriting(t *testing.T, link *link) {
	for range amount(20) {
		cmd := link.Command("yes")
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		_ = out.Close()
		if err := finish(t, "Wait", cmd.Wait); kindOf(err) != "exit error: signal: broken pipe" {
			t.Fatalf("Wait: %v", err)
		}
	}
}

func TestRecord(t *testing.T) {
	link := newLink(t)
	before := time.Now()
	cmd := link.sh("cat >/dev/null; echo 12345; echo 123 >&2; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 42")
	cmd.Stdin = strings.NewReader("1234567")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = finish(t, "Run", cmd.Run)
	after := time.Now()
	s := cmd.ProcessState
	r := s.Record()
	if r.StdinBytes != 7 || r.StdoutBytes != 6 || r.StderrBytes != 4 {
		t.Errorf("counts %d, %d, %d", r.StdinBytes, r.StdoutBytes, r.StderrBytes)
	}
	if r.How != proto.HowExited || r.Code != 42 || r.Signal != nil || r.Core || r.Output != proto.OutputComplete {
		t.Errorf("record %+v", r)
	}
	started, ended := time.Unix(0, int64(r.StartedAt)), time.Unix(0, int64(r.EndedAt))
	if started.Before(before) || !ended.After(started) || ended.After(after) {
		t.Errorf("started %v, ended %v, not within %v and %v", started, ended, before, after)
	}
	if cpu := s.UserTime() + s.SystemTime(); cpu <= 0 || s.UserTime() != time.Duration(r.UserTime) {
		t.Errorf("processor time %v", cpu)
	}
	if r.MaxRSS < 100<<10 { // at most, it may be that of this program, which the process was until execve(2)
		t.Errorf("memory %d", r.MaxRSS)
	}
	if s.Pid() != cmd.Pid() || s.Pid() <= 1 || s.ExitCode() != 42 || !s.Exited() || s.Success() {
		t.Errorf("state %v", s)
	}
}

func TestRecordOfStreams(t *testing.T) {
	link := newLink(t)
	run := func(script string, adjust func(cmd *session.Cmd)) session.Record {
		cmd := link.sh(script)
		adjust(cmd)
		_ = finish(t, "Run", cmd.Run)
		if cmd.ProcessState == nil {
			t.Fatalf("%s: no record", script)
		}
		return cmd.ProcessState.Record()
	}
	r := run("echo 12345; echo 123 >&2", func(*session.Cmd) {})
	if r.StdinBytes+r.StdoutBytes+r.StderrBytes != 0 {
		t.Errorf("no streams: %+v", r)
	}
	r = run("echo 12345; echo 123 >&2", func(cmd *session.Cmd) {
		var both bytes.Buffer
		cmd.Stdout, cmd.Stderr = &both, &both
	})
	if r.StdoutBytes != 10 || r.StderrBytes != 0 {
		t.Errorf("one stream for both: %+v", r)
	}
	r = run("head -c 5 >/dev/null", func(cmd *session.Cmd) { cmd.Stdin = endless{} })
	if r.StdinBytes < 5 {
		t.Errorf("a part of stdin: %+v", r)
	}
	r = run("kill -USR1 $$", func(*session.Cmd) {})
	if r.How != proto.HowSignaled || r.Signal == nil || r.Signal.Name != "USR1" || r.Signal.Number != 10 || r.Code != 0 {
		t.Errorf("signaled: %+v", r)
	}
}

func TestDroppedEnv(t *testing.T) {
	link := newLink(t)
	cmd := link.sh(`printf '%s|' "$FINE" "${LD_PRELOAD-unset}" "${BASH_ENV-unset}" "${SHELLSHOCK-unset}"`)
	if cmd.DroppedEnv() != nil {
		t.Error("dropped before Start")
	}
	cmd.Env = []string{"FINE=1", "LD_PRELOAD=/evil.so", "BASH_ENV=/evil", "LD_PRELOAD=/again", "SHELLSHOCK=() { :; }", "a-b=1"}
	out, err := finishOutput(t, cmd)
	if err != nil || string(out) != "1|unset|unset|unset|" {
		t.Errorf("%q, %v", out, err)
	}
	if got := strings.Join(cmd.DroppedEnv(), " "); got != "LD_PRELOAD BASH_ENV SHELLSHOCK a-b" {
		t.Errorf("dropped %q", got)
	}
}

// A handler that loses sight of a command says so, and the client does not take it for an end.
func TestLostCommand(t *testing.T) {
	real := newHandler(t, "")
	link := connect(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, req *session.Request) (session.Process, error) {
		p, err := real.Start(ctx, req)
		return blind{p}, err
	})})
	cmd := link.sh("echo out; exit 0")
	out, err := finishOutput(t, cmd)
	exit, ok := errors.AsType[*session.ExitError](err)
	if !ok || string(out) != "out\n" || exit.Success() || exit.Exited() || exit.ExitCode() != -1 {
		t.Errorf("%q, %v", out, err)
	}
	if r := cmd.ProcessState.Record(); r.How != proto.HowLost {
		t.Errorf("record %+v", r)
	}
}

// blind is a process whose end is not seen.
type blind struct{ session.Process }

func (b blind) Wait() (session.Exit, error) {
	_, _ = b.Process.Wait()
	return session.Exit{}, errCustom
}
