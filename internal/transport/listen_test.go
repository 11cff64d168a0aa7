//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
)

func TestListenMakesPrivateSocket(t *testing.T) {
	noNewFiles(t)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := socketDir(t)
	path := filepath.Join(dir, "rexd.sock")
	l, err := ListenUnix(path, UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("address %q", got)
	}
	if got := names(t, dir); got != "rexd.sock rexd.sock.lock" {
		t.Errorf("files while listening: %s", got)
	}
	if b, _ := os.ReadFile(path + ".lock"); string(b) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("lock file says %q", b)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); got != "" {
		t.Errorf("files afterwards: %s", got)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// TestListenCloseLeavesOthersFiles has the socket and the lock replaced behind
// the listener's back.
func TestListenCloseLeavesOthersFiles(t *testing.T) {
	l := listen(t, UnixOptions{})
	for _, name := range []string{l.path, l.path + ".lock"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, filepath.Dir(l.path)); got != "rexd.sock rexd.sock.lock" {
		t.Errorf("files: %s", got)
	}
}

func TestListenTwice(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	_, err := ListenUnix(l.path, UnixOptions{})
	if e, ok := errors.AsType[*InUseError](err); !ok || e.PID != os.Getpid() || e.Path != l.path {
		t.Errorf("the second: %v", err)
	}
	if _, err := os.Lstat(l.path); err != nil {
		t.Error("the first one's socket is gone")
	}
	l.Close()
	again, err := ListenUnix(l.path, UnixOptions{})
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}

// TestListenRace starts many at once, again and again, while holders come and
// go: at any time at most one has the path, and a path that is free is had.
func TestListenRace(t *testing.T) {
	path := filepath.Join(socketDir(t), "rexd.sock")
	var mu sync.Mutex
	holders, wins := 0, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				l, err := ListenUnix(path, UnixOptions{})
				if err != nil {
					if _, ok := errors.AsType[*InUseError](err); !ok {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				holders++
				wins++
				if holders > 1 {
					t.Error("two listeners on one path")
				}
				mu.Unlock()
				c, err := net.Dial("unix", path)
				if err != nil {
					t.Errorf("the holder cannot be reached: %v", err)
				} else {
					c.Close()
				}
				mu.Lock()
				holders--
				mu.Unlock()
				l.Close()
			}
		})
	}
	wg.Wait()
	if wins == 0 {
		t.Error("nobody ever had the path")
	}
	t.Logf("%d of 200 attempts had the path", wins)
}

func TestListenReplacesDeadSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "rexd.sock")
	for _, name := range []string{path, path + spare} { // killed while it ran, and between bind and rename
		ln, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		ln.Close()
	}
	l, err := ListenUnix(path, UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serve(t, l)
	c, err := DialUnix(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := names(t, filepath.Dir(path)); got != "rexd.sock rexd.sock.lock" {
		t.Errorf("files: %s", got)
	}
}

func TestListenAfterKill(t *testing.T) {
	path := filepath.Join(socketDir(t), "rexd.sock")
	cmd := helper(t, "listen", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	_, err = ListenUnix(path, UnixOptions{})
	if e, ok := errors.AsType[*InUseError](err); !ok || e.PID != cmd.Process.Pid {
		t.Errorf("while it lives: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	l, err := ListenUnix(path, UnixOptions{})
	if err != nil {
		t.Fatalf("after it was killed: %v", err)
	}
	l.Close()
}

// TestListenLeavesLiveSocket has a program without our lock on the path.
func TestListenLeavesLiveSocket(t *testing.T) {
	noNewFiles(t)
	path := filepath.Join(socketDir(t), "rexd.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = ListenUnix(path, UnixOptions{})
	if e, ok := errors.AsType[*InUseError](err); !ok || e.PID != 0 {
		t.Errorf("error %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the other program is cut off: %v", err)
	} else {
		c.Close()
	}
	if got := names(t, filepath.Dir(path)); got != "rexd.sock" {
		t.Errorf("files: %s", got)
	}
}

func TestListenReplacesNothingElse(t *testing.T) {
	kinds := map[string]func(name string) error{
		"file":      func(name string) error { return os.WriteFile(name, []byte("keep"), 0o600) },
		"directory": func(name string) error { return os.Mkdir(name, 0o700) },
		"fifo":      func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"dangling":  func(name string) error { return os.Symlink("/nonexistent", name) },
	}
	for kind, make := range kinds {
		for _, suffix := range []string{"", spare, ".lock"} {
			if kind == "file" && suffix == ".lock" {
				continue // that is what a lock is
			}
			t.Run(kind+suffix, func(t *testing.T) {
				noNewFiles(t)
				path := filepath.Join(socketDir(t), "rexd.sock")
				if err := make(path + suffix); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(path + suffix)
				l, err := ListenUnix(path, UnixOptions{})
				if err == nil {
					l.Close()
					t.Fatal("no error")
				}
				if after, err := os.Lstat(path + suffix); err != nil || !os.SameFile(before, after) {
					t.Errorf("it was replaced: %v", err)
				}
				if got := names(t, filepath.Dir(path)); got != "rexd.sock"+suffix {
					t.Errorf("files: %s", got)
				}
			})
		}
	}
}

func TestAcceptEndsWithClose(t *testing.T) {
	l := listen(t, UnixOptions{})
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	if err := receive(t, ended); err != net.ErrClosed {
		t.Errorf("Accept: %v", err)
	}
}

// TestAcceptKeepsReserve refuses connections that would take the last
// descriptors, with words.
func TestAcceptKeepsReserve(t *testing.T) {
	noNewFiles(t)
	var log syncBuffer
	l := listen(t, UnixOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	l.maxFD = 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Accept()
	}()
	_, err := DialUnix(t.Context(), l.path, "")
	if e, ok := errors.AsType[*RefusedError](err); !ok || e.Code != proto.AuthBusy || e.Text == "" {
		t.Errorf("error %v", err)
	}
	l.Close()
	receive(t, ended)
	if !strings.Contains(log.String(), "descriptors run out") {
		t.Errorf("log: %s", log.String())
	}
}

// TestAcceptWaitsForDescriptors lets a child run out of descriptors.
func TestAcceptWaitsForDescriptors(t *testing.T) {
	path := filepath.Join(socketDir(t), "rexd.sock")
	cmd := helper(t, "accept", path)
	cmd.Args = append([]string{"sh", "-c", `ulimit -n 64; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if cmd.Args[3] == "/proc/self/exe" {
		cmd.Args[3], _ = os.Executable()
	}
	out := &syncBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var conn Conn
	var err error
	for conn == nil && ctx.Err() == nil { // until it listens
		if conn, err = DialUnix(ctx, path, ""); err != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if conn == nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := cmd.Wait(); err != nil || out.String() != "waits\n" {
		t.Errorf("child: %v, %q", err, out.String())
	}
}

// TestCrowd fills the listener with clients that say nothing: it is the oldest
// that have to go, and one that logs in still can.
func TestCrowd(t *testing.T) {
	noNewFiles(t)
	var log syncBuffer
	l := listen(t, UnixOptions{MaxPending: 8, Log: slog.New(slog.NewTextHandler(&log, nil))})
	logins := serve(t, l)
	var silent []*net.UnixConn
	for range 12 {
		silent = append(silent, rawDial(t, l))
	}
	c, err := DialUnix(t.Context(), l.path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	crowded, good := 0, 0
	for range 6 {
		switch got := receive(t, logins); {
		case got.err == nil:
			good++
			got.conn.Close()
		case errors.Is(got.err, ErrCrowded):
			crowded++
		default:
			t.Error(got.err)
		}
	}
	if crowded != 5 || good != 1 {
		t.Errorf("%d dropped, %d logged in", crowded, good)
	}
	for i, s := range silent {
		s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := s.Read(make([]byte, 1))
		if open := errors.Is(err, os.ErrDeadlineExceeded); open != (i >= 5) {
			t.Errorf("client %d: %v", i, err)
		}
	}
	if n := strings.Count(log.String(), "too many"); n != 1 {
		t.Errorf("%d warnings for one flood: %s", n, log.String())
	}
}

// syncBuffer is a buffer that may be written and read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p...)
	return len(p), nil
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b)
}
