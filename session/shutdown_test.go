//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// Shutdown and Close.

func TestShutdownWaitsForCommands(t *testing.T) {
	srv := &session.Server{Handler: newHandler(t, "")}
	link := connect(t, srv)
	idle := connect(t, srv)
	cmd := link.sh("cat; echo end >&2; exit 3")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	mustStart(t, cmd)
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	var refusal error
	eventually(t, "commands are refused", func() bool {
		refusal = link.Command("true").Run()
		return refusal != nil
	})
	if !errors.Is(refusal, proto.CodeShuttingDown) {
		t.Errorf("refusal: %v", refusal)
	}
	within(t, "the idle session ends", idle.Done())
	if _, err := io.WriteString(in, "still here\n"); err != nil {
		t.Error(err)
	}
	if line := readLine(t, out); line != "still here" {
		t.Errorf("line %q", line)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned before the command ended: %v", err)
	default:
	}
	_ = in.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v", rest, err)
	}
	if err := finish(t, "Wait", cmd.Wait); kindOf(err) != "exit error: exit status 3" || stderr.String() != "end\n" {
		t.Errorf("Wait: %v, stderr %q", err, stderr.String())
	}
	if err := finish(t, "Shutdown", func() error { return <-down }); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Commands that end just as the server does lose nothing, not even their record.
func TestShutdownLosesNothing(t *testing.T) {
	handler := newHandler(t, "")
	for range amount(60) {
		srv := &session.Server{Handler: handler}
		link := connect(t, srv)
		var cmds []*session.Cmd
		outs := make([]bytes.Buffer, 4)
		for i := range outs {
			cmd := link.Command("seq", "1", "2000")
			cmd.Stdout = &outs[i]
			mustStart(t, cmd)
			cmds = append(cmds, cmd)
		}
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		for i, cmd := range cmds {
			if err := finish(t, "Wait", cmd.Wait); err != nil || outs[i].Len() != 8893 {
				t.Fatalf("Wait: %v, %d bytes", err, outs[i].Len())
			}
		}
		if err := finish(t, "Shutdown", func() error { return <-down }); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		_ = link.Close()
		if err := link.result(); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
	}
}

func TestShutdownEndsWhatDoesNotEnd(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		word := aeon()
		killAtEnd(t, word)
		srv := &session.Server{Handler: newHandler(t, mode)}
		link := connect(t, srv)
		mild := link.sh("trap '' HUP; trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done")
		out, _ := mild.StdoutPipe()
		mustStart(t, mild)
		readLine(t, out)
		wild := link.sh("trap '' HUP TERM; sleep " + word + " & echo ready; wait")
		ready, _ := wild.StdoutPipe()
		mustStart(t, wild)
		readLine(t, ready)
		err := finish(t, "Shutdown", func() error { return srv.Shutdown(deadlineSoon(t)) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		eventually(t, "the tree is gone", isGone(t, word))
		if rest, err := io.ReadAll(out); err != nil || string(rest) != "bye\n" {
			t.Errorf("what the command said at last: %q, %v", rest, err)
		}
		for _, cmd := range []*session.Cmd{mild, wild} {
			_ = finish(t, "Wait", cmd.Wait)
			if s := cmd.ProcessState; s == nil || s.Record().How != proto.HowKilled || s.Success() {
				t.Errorf("state %v", s)
			}
		}
		if code := mild.ProcessState.ExitCode(); code != 5 {
			t.Errorf("exit code %d", code)
		}
		if name, _ := wild.ProcessState.Signal(); name != "KILL" {
			t.Errorf("signal %q", name)
		}
		if !strings.Contains(wild.ProcessState.String(), "killed by the server") {
			t.Errorf("%v", wild.ProcessState)
		}
	})
}

// A client that does not read must not keep the server from ending.
func TestShutdownPassesAStalledClient(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	srv := &session.Server{Handler: newHandler(t, "")}
	near, far := socketpair(t)
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(context.Background(), far, session.Peer{}) }()
	stall := newStall(near)
	client, err := session.NewClient(stall, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cmd := client.Command("yes")
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	readLine(t, out)
	for range 8 { // each sends a window's worth, more than the socket holds
		more := client.Command("yes")
		if _, err := more.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		mustStart(t, more)
	}
	stall.stop()
	_ = finish(t, "Shutdown", func() error { return srv.Shutdown(deadlineSoon(t)) })
	_ = client.Close()
	if err := finish(t, "ServeConn", func() error { return <-served }); err != nil {
		t.Logf("ServeConn: %v", err)
	}
}

func TestCloseCuts(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		word := aeon()
		killAtEnd(t, word)
		srv := &session.Server{Handler: newHandler(t, mode)}
		l, dial := listen(t)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		client := dial()
		cmd := client.Command("/bin/sh", "-c", "trap '' HUP TERM; sleep "+word+" & echo ready; wait")
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := finish(t, "Serve", func() error { return <-served }); err != session.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		missing, ok := errors.AsType[*session.ExitMissingError](finish(t, "Wait", cmd.Wait))
		if !ok || !missing.Started || missing.Exited != nil || !errors.Is(missing, session.ErrConnLost) {
			t.Errorf("Wait: %v", missing)
		}
		if cmd.ProcessState != nil {
			t.Errorf("state %v", cmd.ProcessState)
		}
		eventually(t, "the tree is gone", isGone(t, word))
		if err := srv.Shutdown(t.Context()); err != nil { // waits for what Serve started
			t.Error(err)
		}
	})
}

// What is being ended gently is ended at once by Close.
func TestCloseCutsLaddersShort(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	srv := &session.Server{Handler: handlerWith(t, execd.Options{Grace: 10 * patience})}
	link := connect(t, srv)
	cmd := link.sh("trap '' HUP TERM; sleep " + word + " & echo ready; wait")
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	readLine(t, out)
	if err := cmd.Abandon(); err != nil {
		t.Error(err)
	}
	_ = finish(t, "Wait", cmd.Wait)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "the tree is gone", isGone(t, word))
}

// Kept commands of sessions that are gone are left to themselves, also when the session goes only now.
func TestShutdownLeavesKeptCommands(t *testing.T) {
	handler := newHandler(t, "")
	for range amount(16) {
		word := aeon()
		killAtEnd(t, word)
		srv := &session.Server{Handler: handler}
		link := connect(t, srv)
		cmd := link.Command("sleep", word)
		cmd.Orphan = session.OrphanKeep
		mustStart(t, cmd)
		link.cut()
		if err := finish(t, "Shutdown", func() error { return srv.Shutdown(t.Context()) }); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		_ = finish(t, "Wait", cmd.Wait)
		if err := link.result(); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
		eventually(t, "the kept command is alive", isAlive(t, word))
	}
}
