//go:build unix

package session_test

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// Dial reaches a server on a Unix socket, which knows who is there.
func TestDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := transport.ListenUnix(path, transport.UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var book logBook
	srv := &session.Server{Handler: newHandler(t, ""), Log: book.logger(0)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	client, err := session.Dial(t.Context(), "unix:"+path, &session.Options{Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := client.Command("echo", "hello").Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != session.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if me, err := user.Current(); err == nil && !strings.Contains(book.String(), "user="+me.Username) {
		t.Errorf("the log does not name %s:\n%s", me.Username, book.String())
	}
}

func TestDialFails(t *testing.T) {
	for addr, want := range map[string]string{
		"tcp:127.0.0.1:1":                        "unix:/path",
		"":                                       "unix:/path",
		fmt.Sprintf("unix:%s/none", t.TempDir()): "none",
	} {
		client, err := session.Dial(t.Context(), addr, nil)
		if err == nil || client != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
		if errors.Is(err, session.ErrConnLost) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
