//go:build unix

package session_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// listenPassing serves on a Unix socket until the end of the test.
func listenPassing(t testing.TB, srv *session.Server) (path string) {
	t.Helper()
	path = socketPath(t)
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

// socketPath is where a socket can be.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "s")
}

// userName is the account of this process.
func userName(t testing.TB) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
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

// passingClient is one that has no session.
func passingClient(t testing.TB, srv *session.Server) *session.Client {
	t.Helper()
	client := session.UnixClient(listenPassing(t, srv), "")
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// outFile is a file for output, and what it holds.
func outFile(t testing.TB) (f *os.File, got func() string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, func() string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// TestPassed: the command has the very files, and nothing is counted.
func TestPassed(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		dialed, path := dialPassing(t, &session.Server{Handler: newHandler(t, mode)})
		unixClient := session.UnixClient(path, "")
		t.Cleanup(func() { _ = unixClient.Close() })
		for name, client := range map[string]*session.Client{"Dial": dialed, "UnixClient": unixClient} {
			t.Run(name, func(t *testing.T) {
				out, got := outFile(t)
				in, feed, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				extra, gotExtra := outFile(t)
				c := client.Command("/bin/sh", "-c", "readlink /proc/self/fd/1; cat; echo extra >&3; echo error >&2; exit 3")
				c.Stdin, c.Stdout, c.Stderr, c.ExtraFiles = in, out, out, []*os.File{extra}
				mustStart(t, c)
				_ = in.Close() // the command's alone, as after os/exec's Start
				_, _ = feed.WriteString("input\n")
				_ = feed.Close()
				err = finish(t, "Wait", c.Wait)
				exit, ok := errors.AsType[*session.ExitError](err)
				if !ok || exit.ExitCode() != 3 {
					t.Fatalf("Wait: %v", err)
				}
				if want := out.Name() + "\ninput\nerror\n"; runtime.GOOS == "linux" && got() != want {
					t.Errorf("output %q, want %q", got(), want)
				}
				if gotExtra() != "extra\n" {
					t.Errorf("descriptor 3 got %q", gotExtra())
				}
				r := c.ProcessState.Record()
				if r.StdinBytes+r.StdoutBytes+r.StderrBytes != 0 || r.How != proto.HowExited || r.EndedAt < r.StartedAt {
					t.Errorf("record %+v", r)
				}
			})
		}
	})
}

// TestNotPassed: what cannot be passed goes by streams, or is refused.
func TestNotPassed(t *testing.T) {
	client, path := dialPassing(t, &session.Server{Handler: newHandler(t, "group")})
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	closed, _ := outFile(t)
	_ = closed.Close()
	file, _ := outFile(t)
	for _, f := range []*os.File{dir, zero, closed, nil} {
		if session.CanPass(f) {
			t.Errorf("%v can be passed", f)
		}
	}
	t.Run("streams", func(t *testing.T) {
		c := client.Command("head", "-c", "3")
		c.Stdin = zero
		if out, err := c.Output(); err != nil || string(out) != "\x00\x00\x00" {
			t.Errorf("%q, %v", out, err)
		}
		c = client.Command("cat")
		c.Stdin, c.Stdout = dir, file
		if err := finish(t, "Run", c.Run); !errors.Is(err, syscall.EISDIR) {
			t.Errorf("a directory: %v", err)
		}
	})
	alone := session.UnixClient(path, "")
	defer alone.Close()
	for name, f := range map[string]func(c *session.Cmd){
		"directory": func(c *session.Cmd) { c.ExtraFiles = []*os.File{dir} },
		"device":    func(c *session.Cmd) { c.ExtraFiles = []*os.File{file, zero} },
		"closed":    func(c *session.Cmd) { c.ExtraFiles = []*os.File{closed} },
		"nil":       func(c *session.Cmd) { c.ExtraFiles = []*os.File{nil} },
		"buffer":    func(c *session.Cmd) { c.ExtraFiles, c.Stdout = []*os.File{file}, io.Discard },
		"too many":  func(c *session.Cmd) { c.ExtraFiles = outFiles(t, proto.MaxFiles+1) },
		"terminal":  func(c *session.Cmd) { c.ExtraFiles, c.Term = []*os.File{file}, &session.Term{} },
	} {
		for _, client := range []*session.Client{client, alone} {
			c := client.Command("true")
			f(c)
			if err := finish(t, name, c.Run); err == nil {
				t.Errorf("%s: started", name)
			}
		}
	}
	c := alone.Command("true")
	c.Stdout = io.Discard
	if err := c.Run(); err == nil || !strings.Contains(err.Error(), "must be files") {
		t.Errorf("without a session: %v", err)
	}
	c = newLink(t).Command("true")
	c.ExtraFiles = []*os.File{file}
	if err := c.Run(); err == nil || !strings.Contains(err.Error(), "ExtraFiles need a Unix socket") {
		t.Errorf("not on a socket: %v", err)
	}
}

// outFiles are n files.
func outFiles(t testing.TB, n int) (files []*os.File) {
	for range n {
		f, _ := outFile(t)
		files = append(files, f)
	}
	return files
}

// TestMostFiles: as many as may be passed.
func TestMostFiles(t *testing.T) {
	client, _ := dialPassing(t, &session.Server{Handler: newHandler(t, "keeper")})
	c := client.Command("/bin/sh", "-c", "for i in 3 9; do echo $i >&$i; done; test -e /proc/self/fd/66 && ! test -e /proc/self/fd/67")
	c.ExtraFiles = outFiles(t, proto.MaxFiles)
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	if err := c.Run(); err != nil {
		t.Error(err)
	}
	for _, i := range []int{3, 9} {
		if b, _ := os.ReadFile(c.ExtraFiles[i-3].Name()); string(b) != strconv.Itoa(i)+"\n" {
			t.Errorf("descriptor %d got %q", i, b)
		}
	}
}

// streamsOnly hides that a handler takes descriptors.
type streamsOnly struct{ session.Handler }

// TestHandlerWithoutDescriptors: a client falls back to streams, once.
func TestHandlerWithoutDescriptors(t *testing.T) {
	var log logBook
	srv := &session.Server{Handler: streamsOnly{newHandler(t, "group")}, Log: log.logger(slog.LevelInfo)}
	client, _ := dialPassing(t, srv)
	for range 2 {
		out, got := outFile(t)
		c := client.Command("echo", "hello")
		c.Stdout = out
		if err := c.Run(); err != nil || got() != "hello\n" {
			t.Errorf("%q, %v", got(), err)
		}
	}
	if n := strings.Count(log.String(), "command refused"); n != 1 {
		t.Errorf("refused %d times\n%s", n, &log)
	}
	c := client.Command("true")
	c.ExtraFiles = outFiles(t, 1)
	if err := c.Run(); err == nil {
		t.Error("ExtraFiles went nowhere")
	}
}

// TestPassedReaches: signals, time and cancellation reach the command.
func TestPassedReaches(t *testing.T) {
	client := passingClient(t, &session.Server{Handler: newHandler(t, "")})
	t.Run("signal", func(t *testing.T) {
		word := aeon()
		killAtEnd(t, word)
		c := client.Command("sleep", word)
		mustStart(t, c)
		if err := c.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		err := finish(t, "Wait", c.Wait)
		if exit, ok := errors.AsType[*session.ExitError](err); !ok || exit.String() != "signal: user defined signal 1" {
			t.Errorf("Wait: %v", err)
		}
		if err := c.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		c := client.Command("sleep", aeon())
		c.Timeout = 50 * time.Millisecond
		err := finish(t, "Run", c.Run)
		if exit, ok := errors.AsType[*session.ExitError](err); !ok || exit.Record().How != proto.HowTimeout {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := client.CommandContext(ctx, "sleep", aeon())
		mustStart(t, c)
		cancel()
		err := finish(t, "Wait", c.Wait)
		if exit, ok := errors.AsType[*session.ExitError](err); !ok || exit.String() != "signal: killed" {
			t.Errorf("Wait: %v", err)
		}
	})
	t.Run("not found", func(t *testing.T) {
		if err := client.Command("no-such-program").Run(); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestPassedOrphan: the end of the connection is the end of the client, and of
// the command. One that is to be kept has streams.
func TestPassedOrphan(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		word := aeon()
		killAtEnd(t, word)
		client := passingClient(t, &session.Server{Handler: newHandler(t, mode)})
		out, got := outFile(t)
		c := client.Command("/bin/sh", "-c", "echo begun; sleep "+word+" & wait; echo never")
		c.Stdout = out
		mustStart(t, c)
		eventually(t, "it runs", func() bool { return got() == "begun\n" && isAlive(t, word)() })
		if err := c.Abandon(); err != nil {
			t.Fatal(err)
		}
		missing, ok := errors.AsType[*session.ExitMissingError](finish(t, "Wait", c.Wait))
		if !ok || !missing.Started {
			t.Errorf("Wait: %v", missing)
		}
		eventually(t, "it is gone", isGone(t, word))
		kept := client.Command("true")
		kept.Orphan = session.OrphanKeep
		if err := kept.Run(); err == nil || !strings.Contains(err.Error(), "a kept command") {
			t.Errorf("kept: %v", err)
		}
	})
}

// TestPassedResize: a size is nothing to a command without a terminal.
func TestPassedResize(t *testing.T) {
	client := passingClient(t, &session.Server{Handler: newHandler(t, "")})
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c := client.Command("cat")
	c.Stdin = in
	mustStart(t, c)
	if err := c.Resize(10, 20); err != nil {
		t.Error(err)
	}
	if err := c.Signal(syscall.SIGWINCH); err != nil { // after it, in order
		t.Error(err)
	}
	_ = feed.Close()
	if err := finish(t, "Wait", c.Wait); err != nil {
		t.Error(err)
	}
}

// TestPassedCloseWhileDialing: Close does not leave a Start to a server that
// does not answer.
func TestPassedCloseWhileDialing(t *testing.T) {
	l, err := transport.ListenUnix(socketPath(t), transport.UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := session.UnixClient(l.Addr().String(), "")
	result := make(chan error, 1)
	go func() { result <- client.Command("true").Start() }()
	conn, err := l.Accept() // and no more
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = client.Close()
	if err := finish(t, "Start", func() error { return <-result }); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Start: %v", err)
	}
}

// TestPassedSilentShutdown: a client that logs in and says nothing does not hold
// a server that stops for longer than a moment.
func TestPassedSilentShutdown(t *testing.T) {
	srv := &session.Server{Handler: newHandler(t, "group")}
	loggedIn(t, listenPassing(t, srv))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := finish(t, "Shutdown", func() error { return srv.Shutdown(ctx) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestPassedClose: a client that is closed leaves its commands to their policy.
func TestPassedClose(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
	client := session.UnixClient(path, "")
	c := client.Command("sleep", word)
	mustStart(t, c)
	_ = client.Close()
	err := finish(t, "Wait", c.Wait)
	if missing, ok := errors.AsType[*session.ExitMissingError](err); !ok || !missing.Started || !errors.Is(err, session.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	eventually(t, "it is gone", isGone(t, word))
}

// TestPassedShutdown: a server that drains waits for the command, and ends it
// when its patience does.
func TestPassedShutdown(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	srv := &session.Server{Handler: newHandler(t, "")}
	client := passingClient(t, srv)
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	quick, slow := client.Command("cat"), client.Command("sleep", word)
	quick.Stdin = in
	mustStart(t, quick)
	mustStart(t, slow)
	ctx, cancel := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(ctx) }()
	_ = feed.Close()
	if err := finish(t, "Wait", quick.Wait); err != nil {
		t.Errorf("the quick one: %v", err)
	}
	cancel()
	err = finish(t, "Wait", slow.Wait)
	if exit, ok := errors.AsType[*session.ExitError](err); !ok || exit.Record().How != proto.HowKilled {
		t.Errorf("the slow one: %v", err)
	}
	if err := finish(t, "Shutdown", func() error { return <-down }); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestPassedServerLost: a server that is gone is never success.
func TestPassedServerLost(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	srv := &session.Server{Handler: newHandler(t, "")}
	client := passingClient(t, srv)
	c := client.Command("sleep", word)
	mustStart(t, c)
	_ = srv.Close()
	err := finish(t, "Wait", c.Wait)
	if missing, ok := errors.AsType[*session.ExitMissingError](err); !ok || !missing.Started || !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Wait: %v", err)
	}
}
