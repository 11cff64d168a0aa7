//go:build unix

package session_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// listenPassing serves on a Unix socket until the end of the test.
func listenPassing(t testing.TB, srv *session.Server) (path string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "s")
	l, err := transport.ListenUnix(path, transport.UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, session.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := finish(t, "Shutdown", func() error { return srv.Shutdown(context.Background()) }); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
	})
	return path
}

// dialPassing joins a client to srv over a Unix socket.
func dialPassing(t testing.TB, srv *session.Server) (client *session.Client, path string) {
	t.Helper()
	path = listenPassing(t, srv)
	client, err := session.Dial(t.Context(), "unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, path
}

var _ = os.DevNull
