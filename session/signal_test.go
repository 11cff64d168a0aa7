//go:build unix

package session_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// Signals, and the words for what they do.

// Each target is reached, and nothing beyond it.
func TestSignalTargets(t *testing.T) {
	const loop = `trap "echo $0" USR1; trap "exit 0" USR2; echo ready; while :; do sleep 0.01; done`
	const script = `setsid sh -c "$1" far & sh -c "$1" child & eval "$1"`
	eachModeAndPath(t, func(t *testing.T, link *link) {
		cmd := link.Command("/bin/sh", "-c", script, "parent", loop)
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		for range 3 {
			readLine(t, out)
		}
		for _, c := range []struct {
			to   session.Target
			want []string
		}{
			{session.ToProcess, []string{"parent"}},
			{session.ToGroup, []string{"child", "parent"}},
			{session.ToTree, []string{"child", "far", "parent"}},
			{session.ToProcess, []string{"parent"}}, // nothing came late
		} {
			if err := cmd.SignalTo("USR1", c.to); err != nil {
				t.Error(err)
			}
			var got []string
			for range c.want {
				got = append(got, readLine(t, out))
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%s reached %v", c.to, got)
			}
		}
		if err := cmd.SignalTo("USR2", session.ToTree); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
			t.Errorf("rest %q, %v", rest, err)
		}
		if err := finish(t, "Wait", cmd.Wait); err != nil {
			t.Error(err)
		}
		if err := cmd.SignalTo("USR1", session.ToTree); kindOf(err) != "process done" {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Signals from many goroutines, beside Wait, are no harm to anything.
func TestSignalsBesideWait(t *testing.T) { eachPath(t, execd.Options{}, testSignalsBesideWait) }

func testSignalsBesideWait(t *testing.T, link *link) {
	cmd := link.sh("trap '' USR1; echo ready; read x; exit 5")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	readLine(t, out)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range amount(100) {
				if err := cmd.Signal(syscall.SIGUSR1); err != nil && kindOf(err) != "process done" {
					t.Error(err)
				}
				_ = cmd.Resize(uint16(i), 80)
			}
		})
	}
	wg.Wait()
	_, _ = io.WriteString(in, "x\n")
	if err := finish(t, "Wait", func() error { return <-done }); kindOf(err) != "exit error: exit status 5" {
		t.Error(err)
	}
}

// A command that stops its keeper, which is its parent, does not get rid of it.
func TestStoppedKeeper(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	link := connect(t, &session.Server{Handler: newHandler(t, "keeper")})
	cmd := link.sh("read go; kill -STOP $PPID; echo stopped; trap '' TERM HUP; sleep " + word)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	_, _ = io.WriteString(in, "go\n") // not before: a keeper that is stopped in the start fails it
	readLine(t, out)
	for _, to := range []session.Target{session.ToProcess, session.ToGroup, session.ToTree} {
		if err := cmd.SignalTo("USR1", to); err != nil {
			t.Error(err)
		}
	}
	link.cut()
	_ = finish(t, "Wait", cmd.Wait)
	if err := link.result(); err != nil {
		t.Errorf("ServeConn: %v", err)
	}
	if left := alive(t, word); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Streams that are stopped while they are full, from many goroutines, never look like a violation.
func TestManyStops(t *testing.T) { eachPath(t, execd.Options{}, testManyStops) }

func testManyStops(t *testing.T, link *link) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range rounds {
				cmd := link.Command("yes")
				out, _ := cmd.StdoutPipe()
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				_, _ = out.Read(make([]byte, 1))
				_ = out.Close()
				if err := cmd.Wait(); kindOf(err) != "exit error: signal: broken pipe" {
					t.Errorf("Wait: %v", err)
				}
			}
		})
	}
	_ = finish(t, "all commands end", func() error { wg.Wait(); return nil })
	if err := link.Err(); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
}

// A handler decides how a process ends; the client says it in the words of os.ProcessState.
func TestStateStrings(t *testing.T) {
	var none *session.ProcessState
	if none.String() != "<nil>" {
		t.Errorf("%v", none)
	}
	exits := make(chan session.Exit, 1)
	real := newHandler(t, "")
	link := connect(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, req *session.Request) (session.Process, error) {
		p, err := real.Start(ctx, req)
		return pretender{p, exits}, err
	})})
	sig := func(number uint64, name string) *proto.SignalInfo {
		return &proto.SignalInfo{Number: number, Name: name}
	}
	for _, c := range []struct {
		exit session.Exit
		want string
	}{
		{session.Exit{Code: 7}, "exit status 7"},
		{session.Exit{Signal: sig(9, "KILL")}, "signal: killed"},
		{session.Exit{Signal: sig(11, "SEGV"), Core: true}, "signal: segmentation fault (core dumped)"},
		{session.Exit{Signal: sig(40, "RTMIN+6")}, "signal: signal 40"},
		{session.Exit{Signal: sig(77, "")}, "signal: signal 77"},
		{session.Exit{Code: -1, Signal: sig(15, "TERM")}, "signal: terminated"},
	} {
		exits <- c.exit
		err := finish(t, "Run", link.Command("true").Run)
		exit, ok := errors.AsType[*session.ExitError](err)
		if !ok || exit.Error() != c.want {
			t.Errorf("%+v: %v", c.exit, err)
			continue
		}
		name, number := exit.Signal()
		if c.exit.Signal != nil && (name != c.exit.Signal.Name || number != int(c.exit.Signal.Number) || exit.Exited() || exit.ExitCode() != -1) {
			t.Errorf("%+v: %s, %d, %d", c.exit, name, number, exit.ExitCode())
		}
	}
}

// pretender is a process that ends as it is told.
type pretender struct {
	session.Process
	exits chan session.Exit
}

func (p pretender) Wait() (session.Exit, error) {
	_, err := p.Process.Wait()
	return <-p.exits, err
}

func TestBadWindows(t *testing.T) {
	near, far := socketpair(t)
	if _, err := session.NewClient(near, &session.Options{Window: 1}); err == nil {
		t.Error("a client with a window of 1")
	}
	if err := (&session.Server{Window: 1 << 30}).ServeConn(t.Context(), far, session.Peer{}); err == nil {
		t.Error("a server with a window of 1 GiB")
	}
	for _, conn := range []io.Reader{near, far} { // both are closed
		if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read: %v", err)
		}
	}
}
