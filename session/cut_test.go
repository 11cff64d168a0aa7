//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// Wherever the connection is cut, the client never reports a success that it does not know of, and never says that
// a command was not started when it was.
func TestCutAnywhere(t *testing.T) {
	handler := newHandler(t, "")
	step := int64(9)
	if testing.Short() {
		step = 60
	}
	const enough = 1200 // more than such a command needs in either direction
	cuts := map[string]func(f *muxtest.Fault, n int64){
		"write": func(f *muxtest.Fault, n int64) { f.CutWrite(n, io.ErrClosedPipe) },
		"read":  func(f *muxtest.Fault, n int64) { f.CutRead(n, io.EOF) },
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			var seen cutResults
			for n := int64(0); n < enough; n += step {
				asked := &counter{Handler: handler}
				out, stdin, err := cutOnce(t, asked, func(f *muxtest.Fault) { cut(f, n) })
				seen.judge(t, fmt.Sprintf("cut at %d", n), asked, out, stdin, err)
			}
			seen.report(t)
		})
	}
}

// cutResults says what became of commands whose connection was cut.
type cutResults struct{ known, succeeded int }

// judge looks at what a client said of one.
func (c *cutResults) judge(t *testing.T, where string, asked *counter, out, stdin string, err error) {
	t.Helper()
	missing, unknown := errors.AsType[*session.ExitMissingError](err)
	switch {
	case err == nil:
		c.succeeded++
		if out != stdin {
			t.Errorf("%s: success, with %d bytes of %d", where, len(out), len(stdin))
		}
	case !errors.Is(err, session.ErrConnLost):
		t.Errorf("%s: %v", where, err)
	case unknown && missing.Exited != nil:
		c.known++
	case !unknown && asked.asked.Load() > 0:
		t.Errorf("%s: the command was asked for, but: %v", where, err)
	}
}

func (c *cutResults) report(t *testing.T) {
	t.Helper()
	if c.succeeded == 0 {
		t.Error("no command was done before the cut: the test has to try longer")
	}
	t.Logf("%d succeeded, of %d the exit is known", c.succeeded, c.known)
}

// cutOnce runs cat over a connection with a fault.
func cutOnce(t *testing.T, h session.Handler, cut func(f *muxtest.Fault)) (out, stdin string, err error) {
	t.Helper()
	near, far := socketpair(t)
	fault := muxtest.NewFault(near)
	cut(fault)
	return catOver(t, h, cutConn{fault}, far)
}

// catOver runs cat over a connection.
func catOver(t *testing.T, h session.Handler, near, far io.ReadWriteCloser) (out, stdin string, err error) {
	t.Helper()
	srv := &session.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(context.Background(), far, session.Peer{}) }()
	defer func() { _ = finish(t, "ServeConn", func() error { return <-served }) }()
	client, err := session.NewClient(near, nil)
	if err != nil {
		return "", "", err
	}
	defer client.Close()
	stdin = strings.Repeat("0123456789", 20)
	cmd := client.Command("cat")
	var buf bytes.Buffer
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), &buf
	err = finish(t, "Run", cmd.Run)
	return buf.String(), stdin, err
}

// A session whose server is cut off while many commands run reports each of them as lost, once.
func TestCutWithManyCommands(t *testing.T) { eachPath(t, execd.Options{}, testCutWithManyCommands) }

func testCutWithManyCommands(t *testing.T, link *link) {
	word := aeon()
	killAtEnd(t, word)
	var cmds []*session.Cmd
	for range 20 {
		cmd := link.Command("sleep", word)
		cmd.Stdin = endless{}
		cmd.Stdout = io.Discard
		mustStart(t, cmd)
		cmds = append(cmds, cmd)
	}
	link.cut()
	for _, cmd := range cmds {
		err := finish(t, "Wait", cmd.Wait)
		if _, ok := errors.AsType[*session.ExitMissingError](err); !ok || !errors.Is(err, session.ErrConnLost) {
			t.Errorf("Wait: %v", err)
		}
	}
	within(t, "Done", link.Done())
	if err := link.Err(); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Err: %v", err)
	}
	if err := link.Command("true").Run(); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Run: %v", err)
	}
}

// Close is the client's own doing, and says so.
func TestClosedClient(t *testing.T) {
	link := newLink(t)
	cmd := link.Command("cat")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	if link.Err() != nil {
		t.Errorf("Err: %v", link.Err())
	}
	if err := link.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	_ = link.Close()
	if err := link.Err(); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Err: %v", err)
	}
	if _, err := in.Write([]byte("x")); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("write: %v", err)
	}
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("read: %v", err)
	}
	if err := cmd.Signal(syscall.SIGINT); err == nil {
		t.Error("a signal was sent")
	}
	if err := finish(t, "Wait", cmd.Wait); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if err := link.Command("true").Run(); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// A connection that is dead from the start gives a client that fails, or none.
func TestDeadConnection(t *testing.T) {
	near, far := socketpair(t)
	_ = far.Close()
	client, err := session.NewClient(near, nil)
	if err == nil {
		err = client.Command("true").Run()
		_ = client.Close()
	}
	if !errors.Is(err, session.ErrConnLost) {
		t.Errorf("error %v", err)
	}
	if refused, ok := errors.AsType[*session.Error](err); ok {
		t.Errorf("refused: %v", refused)
	}
}
