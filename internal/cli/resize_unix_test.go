//go:build unix

package cli

import (
	"context"
	"net"
	"testing"

	"github.com/creack/pty"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// meanwhile is a handler that does something while a command is being started.
type meanwhile struct {
	session.Handler
	do func()
}

func (m meanwhile) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	m.do()
	return m.Handler.Start(ctx, req)
}

// serve starts a server for one session and returns its client.
func serve(t *testing.T, h session.Handler) *session.Client {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- (&session.Server{Handler: h}).ServeConn(context.Background(), far, session.Peer{}) }()
	client, err := session.NewClient(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return client
}

// A terminal that changes after its size was taken and before the command runs
// has changed for the command too. The test is in another session than the
// terminal, so that no signal tells it.
func TestResizeDuringStart(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	defer tty.Close()
	resize := func(rows, cols uint16) {
		if err := pty.Setsize(master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
			t.Error(err)
		}
	}
	resize(30, 100)
	handler, err := execd.New(execd.Options{Mode: "group", Shell: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()

	r := testRunner(t, "-tt", "-n", "--timeout", "20", "host", `until [ "$(stty size)" = "44 111" ]; do sleep 0.02; done`)
	r.env.Stdin = tty
	finished, supervised := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(supervised)
		r.supervise(finished)
	}()
	defer func() {
		close(finished)
		<-supervised
	}()
	if f := r.prepare(serve(t, meanwhile{handler, func() { resize(44, 111) }})); f != nil {
		t.Fatal(f)
	}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("the command does not see the new size: %v", err)
	}
}
