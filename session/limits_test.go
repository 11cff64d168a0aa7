//go:build unix

package session_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// How many commands a session runs at once.

// 200 commands at once on one session, each with 1 MiB both ways.
func TestManyCommands(t *testing.T) { eachPath(t, execd.Options{}, testManyCommands) }

func testManyCommands(t *testing.T, link *link) {
	commands, data := 200, noise(1<<20)
	if testing.Short() {
		commands, data = 50, noise(1<<18)
	}
	var wg sync.WaitGroup
	all := make(chan struct{}) // closed when all of them run
	var running atomic.Int32
	for i := range commands {
		wg.Go(func() {
			cmd := link.Command("cat")
			in, _ := cmd.StdinPipe()
			out, want := sha256.New(), sha256.New()
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Errorf("command %d: %v", i, err)
				return
			}
			if int(running.Add(1)) == commands {
				close(all)
			}
			within(t, "all commands run", all)
			n, err := fmt.Fprintf(io.MultiWriter(in, want), "command %d ", i)
			m, err2 := io.MultiWriter(in, want).Write(data)
			if err := errors.Join(err, err2, in.Close()); err != nil {
				t.Errorf("command %d: wrote %d, %v", i, n+m, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("command %d: %v", i, err)
				return
			}
			r := cmd.ProcessState.Record()
			if r.StdinBytes != uint64(n+m) || r.StdoutBytes != uint64(n+m) || !bytes.Equal(out.Sum(nil), want.Sum(nil)) {
				t.Errorf("command %d: record %+v, sum %x", i, r, out.Sum(nil))
			}
		})
	}
	_ = finish(t, "all commands end", func() error { wg.Wait(); return nil })
}

// many runs n short commands, m at a time, and fails the test if one fails.
func many(t *testing.T, link *link, n, m int) {
	t.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range m {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if out, err := link.Command("echo", "x").Output(); err != nil || string(out) != "x\n" {
					t.Errorf("%q, %v", out, err)
				}
			}
		})
	}
	wg.Wait()
}

// More callers than places: Start waits, nothing is refused.
func TestStartWaitsForAPlace(t *testing.T) {
	link := connect(t, &session.Server{Handler: newHandler(t, ""), MaxCommands: 2}).greeted()
	many(t, link, amount(100), 20)
}

func TestLimitIsTheServers(t *testing.T) {
	link := connect(t, &session.Server{Handler: newHandler(t, ""), MaxCommands: 2}).greeted()
	var cmds [2]*session.Cmd
	var ins [2]io.WriteCloser
	for i := range cmds {
		cmds[i] = link.Command("cat")
		ins[i], _ = cmds[i].StdinPipe()
		mustStart(t, cmds[i])
	}
	ctx, cancel := context.WithCancel(t.Context())
	third := link.CommandContext(ctx, "true")
	started := make(chan error, 1)
	go func() { started <- third.Start() }()
	fourth := link.Command("echo", "fourth")
	output := make(chan []byte, 1)
	go func() {
		out, err := fourth.Output()
		if err != nil {
			t.Error(err)
		}
		output <- out
	}()
	cancel()
	if err := finish(t, "Start", func() error { return <-started }); !errors.Is(err, context.Canceled) {
		t.Errorf("third: %v", err)
	}
	if len(output) > 0 {
		t.Error("the fourth did not wait")
	}
	_ = ins[0].Close()
	if err := cmds[0].Wait(); err != nil {
		t.Error(err)
	}
	_ = finish(t, "the fourth runs", func() error {
		if out := <-output; string(out) != "fourth\n" {
			t.Errorf("fourth: %q", out)
		}
		return nil
	})
	_ = ins[1].Close()
	if err := cmds[1].Wait(); err != nil {
		t.Error(err)
	}
}

// Whoever waits for a place learns that the session has ended.
func TestWaitingForAPlaceEndsWithTheSession(t *testing.T) {
	link := connect(t, &session.Server{Handler: newHandler(t, ""), MaxCommands: 1}).greeted()
	word := aeon()
	killAtEnd(t, word)
	first := link.Command("sleep", word)
	mustStart(t, first)
	started := make(chan error, 1)
	go func() { started <- link.Command("true").Start() }()
	link.cut()
	if err := finish(t, "Start", func() error { return <-started }); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Start: %v", err)
	}
	if err := finish(t, "Wait", first.Wait); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Wait: %v", err)
	}
}

// Commands that hang in their start do not hold up others, nor their signals.
func TestStartsThatHang(t *testing.T) {
	real := newHandler(t, "")
	hung := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	link := connect(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, req *session.Request) (session.Process, error) {
		if req.Name() == "hang" {
			once.Do(func() { close(hung) })
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil, proto.CodeStartTimeout
		}
		return real.Start(ctx, req)
	})})
	results := make(chan error, 3)
	for range cap(results) {
		go func() { results <- link.Command("hang").Run() }()
	}
	within(t, "a start hangs", hung)
	many(t, link, 20, 4)
	cmd := link.Command("sleep", "600")
	mustStart(t, cmd)
	if err := cmd.SignalTo("INT", session.ToGroup); err != nil {
		t.Error(err)
	}
	if err := finish(t, "Wait", cmd.Wait); kindOf(err) != "exit error: signal: interrupt" {
		t.Errorf("Wait: %v", err)
	}
	close(release)
	for range cap(results) {
		if err := <-results; !errors.Is(err, proto.CodeStartTimeout) {
			t.Errorf("hanging start: %v", err)
		}
	}
}

// A client that leaves while a command is being started does not get it started.
func TestStartIsGivenUpWithTheSession(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	link := connect(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, _ *session.Request) (session.Process, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})})
	result := make(chan error, 1)
	go func() { result <- link.Command("x").Run() }()
	within(t, "the start begins", began)
	link.cut()
	within(t, "the start is given up", ended)
	missing, ok := errors.AsType[*session.ExitMissingError](<-result)
	if !ok || missing.Started || !errors.Is(missing, session.ErrConnLost) {
		t.Errorf("Run: %v", missing)
	}
}

// Start can be given up; the command is then ended, since nobody knows it, whatever its policy.
func TestStartIsGivenUpByItsContext(t *testing.T) {
	real := newHandler(t, "")
	for _, policy := range []session.Orphan{session.OrphanKill, session.OrphanKeep} {
		word := aeon()
		killAtEnd(t, word)
		began, release := make(chan struct{}), make(chan struct{})
		var started atomic.Bool
		link := connect(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, req *session.Request) (session.Process, error) {
			close(began)
			<-release
			p, err := real.Start(ctx, req)
			started.Store(err == nil)
			return p, err
		})})
		ctx, cancel := context.WithCancel(t.Context())
		cmd := link.CommandContext(ctx, "sleep", word)
		cmd.Orphan = policy
		result := make(chan error, 1)
		go func() { result <- cmd.Start() }()
		within(t, "the start begins", began)
		cancel()
		if err := finish(t, "Start", func() error { return <-result }); !errors.Is(err, context.Canceled) {
			t.Errorf("Start: %v", err)
		}
		close(release)
		eventually(t, "the command has been started", started.Load)
		eventually(t, "the command is gone", func() bool { return len(alive(t, word)) == 0 })
		_ = link.Close()
		_ = link.result()
		if left := alive(t, word); len(left) > 0 {
			t.Errorf("%s: left %v", policy, left)
		}
	}
}
