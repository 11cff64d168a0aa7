//go:build unix

package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
	"github.com/rexec/rex/session/sessiontest"
)

// paths are the ways between a client and its server that tests of commands run
// over.
var paths = map[string]func(t testing.TB, opts execd.Options) *link{
	"socket": func(t testing.TB, opts execd.Options) *link {
		return connect(t, &session.Server{Handler: handlerWith(t, opts)})
	},
	"network": func(t testing.TB, opts execd.Options) *link {
		near, far := networkPair(t, sessiontest.NewNetwork(t))
		l := connectBy(t, &session.Server{Handler: handlerWith(t, opts)}, near, far)
		l.resets = true
		return l
	},
	"processes": connectToProcess,
}

// eachPath runs f over every path at the same time, with a server that has these options.
func eachPath(t *testing.T, opts execd.Options, f func(t *testing.T, link *link)) {
	for name, connect := range paths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, connect(t, opts))
		})
	}
}

// eachModeAndPath runs f in every way to hold a process tree, over every path.
func eachModeAndPath(t *testing.T, f func(t *testing.T, link *link)) {
	eachMode(t, func(t *testing.T, mode string) { eachPath(t, execd.Options{Mode: mode}, f) })
}

// networkPair returns the two ends of a connection between hosts.
func networkPair(t testing.TB, n *sessiontest.Network) (near, far halfCloser) {
	t.Helper()
	l, err := n.Host("server").Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := n.Host("client").Dial(t.Context(), "server:1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(halfCloser), s.(halfCloser)
}

// connectToProcess connects to a server that is another process on a network, and takes Mode and Grace of opts. What
// ServeConn returned there is what result returns.
func connectToProcess(t testing.TB, opts execd.Options) *link {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "session-server", dir, opts.Mode, opts.Grace.String())
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer func() { _ = cmd.Process.Kill() }()
		_ = stdin.Close()
		if err := finish(t, "the server's process ends", cmd.Wait); err != nil {
			t.Errorf("the server's process: %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	switch _ = lines.Scan(); {
	case strings.HasPrefix(lines.Text(), noMode):
		t.Skip(lines.Text())
	case lines.Text() != "server:1":
		t.Fatalf("the server's process: %q", lines.Text())
	}
	return dialProcess(t, dir, lines)
}

// dialProcess connects to the server's process, which says in a line how the session ended.
func dialProcess(t testing.TB, dir string, lines *bufio.Scanner) *link {
	t.Helper()
	n, err := sessiontest.Join(dir, "net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	near, err := n.Host("client").Dial(t.Context(), "server:1")
	if err != nil {
		t.Fatal(err)
	}
	l := join(t, near.(halfCloser), func() error {
		switch {
		case !lines.Scan():
			return errors.New("the server's process has ended")
		case lines.Text() == "lost":
			return session.ErrConnLost
		case lines.Text() != "served":
			return errors.New(lines.Text())
		}
		return nil
	})
	l.resets = true
	return l
}

// noMode begins what the server's process says if it cannot hold trees in that mode.
const noMode = "no mode"

// serveProcess is the process of connectToProcess: session-server dir mode grace. It serves until its stdin ends.
func serveProcess(args []string) int {
	if err := serveNetwork(args[0], args[1], args[2]); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func serveNetwork(dir, mode, text string) error {
	leave, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	handler, err := execd.New(testOptions(execd.Options{Mode: mode, Grace: leave}))
	if err != nil {
		fmt.Printf("%s %s: %v\n", noMode, mode, err)
		return nil
	}
	n, err := sessiontest.Join(dir, "net")
	if err != nil {
		return errors.Join(err, handler.Close())
	}
	l, err := n.Host("server").Listen(context.Background(), 0)
	if err != nil {
		return errors.Join(err, n.Close(), handler.Close())
	}
	fmt.Println(l.Addr())
	srv := &session.Server{Handler: handler}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { fmt.Println(serveOne(srv, conn)) })
		}
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = l.Close()
	sessions.Wait()
	return errors.Join(n.Close(), handler.Close())
}

// serveOne says in a line how a session ended.
func serveOne(srv *session.Server, conn net.Conn) string {
	switch err := srv.ServeConn(context.Background(), conn, session.Peer{User: "tester", Addr: "test"}); {
	case err == nil:
		return "served"
	case errors.Is(err, session.ErrConnLost):
		return "lost"
	default:
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}
