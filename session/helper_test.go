//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// grace is what the handlers of the tests leave between TERM and KILL.
const grace = 500 * time.Millisecond

// socketpair returns two connected Unix sockets.
func socketpair(t testing.TB) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socketpair")
		conn, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// newHandler returns a handler that holds trees in that mode; empty is the strongest there is.
func newHandler(t testing.TB, mode string) *execd.Handler {
	t.Helper()
	return handlerWith(t, execd.Options{Mode: mode})
}

func handlerWith(t testing.TB, opts execd.Options) *execd.Handler {
	t.Helper()
	h, err := execd.New(testOptions(opts))
	if err != nil {
		t.Skipf("mode %s: %v", opts.Mode, err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("closing the handler: %v", err)
		}
	})
	return h
}

// testOptions fills in what the handlers of all tests have in common.
func testOptions(opts execd.Options) execd.Options {
	opts.Keeper = []string{"/proc/self/exe", "session-keeper"}
	if opts.Grace == 0 {
		opts.Grace = grace
	}
	if opts.Shell == "" {
		opts.Shell = "/bin/sh"
	}
	return opts
}

// eachMode runs f once in every way to hold a process tree, at the same time: there is much to wait for.
func eachMode(t *testing.T, f func(t *testing.T, mode string)) {
	for _, mode := range []string{"cgroup", "keeper", "group"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			f(t, mode)
		})
	}
}

// A link is a session between a client and a server, and the connection between them.
type link struct {
	*session.Client
	t          testing.TB
	near       halfCloser
	served     chan struct{} // closed when ServeConn returned
	serveError error
	isCut      bool
	resets     bool // a cut is a reset, as of TCP
}

// A halfCloser is a connection whose sending half ends alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// connect joins a client to srv. At the end of the test both must end, in an orderly way unless the test says
// otherwise by reading result.
func connect(t testing.TB, srv *session.Server) *link {
	t.Helper()
	near, far := socketpair(t)
	return connectBy(t, srv, near, far)
}

// connectBy is connect over the two ends of a connection.
func connectBy(t testing.TB, srv *session.Server, near, far halfCloser) *link {
	t.Helper()
	return join(t, near, func() error {
		return srv.ServeConn(context.Background(), far, session.Peer{User: "tester", Addr: "test"})
	})
}

// join makes a link of a connection to a server, whose ServeConn ends when serve returns.
func join(t testing.TB, near halfCloser, serve func() error) *link {
	t.Helper()
	l := &link{t: t, near: near, served: make(chan struct{})}
	go func() {
		defer close(l.served)
		l.serveError = serve()
	}()
	var err error
	if l.Client, err = session.NewClient(l.near, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		err := l.result()
		if l.isCut && errors.Is(err, session.ErrConnLost) {
			err = nil // cut within a frame
		}
		if err != nil {
			t.Errorf("ServeConn: %v", err)
		}
	})
	return l
}

// result waits for ServeConn and returns its error. That of a reset is none.
func (l *link) result() error {
	l.t.Helper()
	within(l.t, "ServeConn returns", l.served)
	if l.isCut && l.resets && errors.Is(l.serveError, session.ErrConnLost) {
		return nil
	}
	return l.serveError
}

// cut ends the connection without a word, as when the client is killed.
func (l *link) cut() {
	l.isCut = true
	_ = l.near.Close()
}

// greeted waits for the server's hello, before which a client does not know the limits.
func (l *link) greeted() *link {
	l.t.Helper()
	eventually(l.t, "hello comes", l.Greeted)
	return l
}

func newLink(t testing.TB) *link {
	t.Helper()
	return connect(t, &session.Server{Handler: newHandler(t, "")})
}

// amount is how often a test does what it only repeats, or how much it moves: a quarter of n under -short.
func amount(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

// within waits for c to be closed.
func within(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// finish calls f and fails the test if it does not return.
func finish(t testing.TB, what string, f func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
		return nil
	}
}

// aeon is an argument for sleep(1) that no other process has: far more seconds than any test takes.
func aeon() string { return fmt.Sprintf("9%09d", rand.IntN(1e9)) }

// alive returns the processes that have word among their arguments and are not zombies. In the midst of execve(2) a
// process has no arguments for a moment.
func alive(t testing.TB, word string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline") // empty for a zombie
		if err != nil || !bytes.Contains(append([]byte{0}, line...), []byte("\x00"+word+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		pids = append(pids, pid)
	}
	return pids
}

func isAlive(t testing.TB, word string) func() bool {
	return func() bool { return len(alive(t, word)) > 0 }
}

func isGone(t testing.TB, word string) func() bool {
	return func() bool { return len(alive(t, word)) == 0 }
}

// killAtEnd makes sure that what a test left running on purpose does not stay.
func killAtEnd(t testing.TB, word string) {
	t.Cleanup(func() {
		eventually(t, "the test's own processes are gone", func() bool {
			left := alive(t, word)
			for _, pid := range left {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			return len(left) == 0
		})
	})
}

// logBook keeps what a server logs.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}

// sh is a command that runs a script in the shell, exactly, with arguments $1 and so on.
func (l *link) sh(script string, arg ...string) *session.Cmd {
	return l.Command("/bin/sh", append([]string{"-c", script, "sh"}, arg...)...)
}

// mustStart starts a command.
func mustStart(t testing.TB, cmd *session.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %v: %v", cmd, err)
	}
}

// readLine reads from a command's output up to the next newline.
func readLine(t testing.TB, r interface{ Read([]byte) (int, error) }) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n > 0 && b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[:n]...)
		if err != nil {
			t.Fatalf("reading a line after %q: %v", line, err)
		}
	}
}

// stall is a connection whose reader can stop, as a stopped process does.
type stall struct {
	net.Conn
	stopped chan struct{}
	closed  chan struct{}
	once    sync.Once
}

func newStall(conn net.Conn) *stall {
	return &stall{Conn: conn, stopped: make(chan struct{}), closed: make(chan struct{})}
}

func (s *stall) stop() { close(s.stopped) }

func (s *stall) Read(p []byte) (int, error) {
	select {
	case <-s.stopped:
		<-s.closed
		return 0, net.ErrClosed
	default:
		return s.Conn.Read(p[:min(len(p), 4096)])
	}
}

func (s *stall) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}
