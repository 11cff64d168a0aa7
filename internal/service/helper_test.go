//go:build linux || darwin || freebsd

package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// patience bounds every wait of these tests for something that happens at once
// on an idle machine.
const patience = 30 * time.Second

// newHandler starts programs. It holds whole trees where the system can.
func newHandler(t *testing.T) *execd.Handler {
	t.Helper()
	h, err := execd.New(execd.Options{Keeper: []string{"/proc/self/exe", "session-keeper"}, Grace: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// A server is a service that listens, and what it logs.
type server struct {
	*Service
	t    *testing.T
	addr net.Addr
	log  *logbook
	done chan error // Serve's
}

// serve runs a program for connections until the test ends.
func serve(t *testing.T, network string, s *Service, argv ...string) *server {
	t.Helper()
	h := newHandler(t)
	srv := &server{Service: s, t: t, log: &logbook{}, done: make(chan error, 1)}
	if s.Start == nil {
		s.Start = func(ctx context.Context, c Client) (session.Process, error) {
			return h.StartProgram(ctx, &execd.Program{Argv: argv})
		}
	}
	s.Name, s.Log = "test", slog.New(slog.NewJSONHandler(srv.log, nil))
	l := listen(t, network)
	srv.addr = l.Addr()
	go func() { srv.done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("instances that do not end: %v", err)
		}
		if err := <-srv.done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return srv
}

func listen(t *testing.T, network string) (l *transport.PlainListener) {
	t.Helper()
	var err error
	if network == "unix" {
		l, err = transport.ListenPlainUnix(filepath.Join(socketDir(t), "s"), 0, -1, nil)
	} else {
		l, err = transport.ListenPlainTCP(t.Context(), "127.0.0.1:0", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// socketDir has a path that is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rexs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// eachNetwork runs a test over TCP and over a Unix socket.
func eachNetwork(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// A client is a connection that the test gives up with patience.
type client struct {
	halfConn
	t       *testing.T
	flooded chan error // what ended flood; nil without
}

func (s *server) dial() *client {
	s.t.Helper()
	c, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{halfConn: c.(halfConn), t: s.t}
}

// wantRefused connects in vain. A reset may come before it is known that the
// connection was there.
func (s *server) wantRefused() {
	s.t.Helper()
	conn, err := net.Dial(s.addr.Network(), s.addr.String())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{halfConn: conn.(halfConn), t: s.t}
	if got := c.wantCut(); got != "" {
		s.t.Errorf("%q from one too many", got)
	}
}

// ask sends a question and its end, and returns the answer.
func (c *client) ask(question string) string {
	c.t.Helper()
	c.send(question)
	c.finish()
	return c.rest()
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// flood sends without end, while the test goes on.
func (c *client) flood() {
	c.flooded = make(chan error, 1)
	go func() {
		_, err := io.Copy(c.halfConn, zeros{})
		c.flooded <- err
	}()
}

func (c *client) finish() {
	c.t.Helper()
	if err := c.CloseWrite(); err != nil {
		c.t.Fatalf("end the question: %v", err)
	}
}

// rest reads to the end of the answer.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		c.t.Fatalf("%d bytes, then %v", len(b), err)
	}
	return string(b)
}

// line reads a line, and nothing behind it.
func (c *client) line() string {
	c.t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			c.t.Fatalf("%q, then %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// wantCut reads until the connection is cut, and returns what came before. On
// TCP that must be a reset, which no client can take for the end.
func (c *client) wantCut() string {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if c.flooded != nil { // who writes may be told first, and then the reader is not
		err = errors.Join(err, <-c.flooded)
	}
	if _, tcp := c.halfConn.(*net.TCPConn); tcp && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("%d bytes, then %v; want a reset", len(b), err)
	}
	return string(b)
}

// reset makes the client one that goes without a word.
func (c *client) reset() { reset(c.halfConn) }

// A logbook collects the lines of a JSON log.
type logbook struct {
	mu    sync.Mutex
	lines []map[string]any
	raw   bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var line map[string]any
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	l.lines = append(l.lines, line)
	return l.raw.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

// with returns the lines with that message.
func (l *logbook) with(msg string) (lines []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line["msg"] == msg {
			lines = append(lines, line)
		}
	}
	return lines
}

// ended waits until so many connections have ended, and returns the last one's
// line. There is one for each, and nothing above it.
func (s *server) ended(n int) map[string]any {
	s.t.Helper()
	eventually(s.t, "a connection ends", func() bool { return len(s.log.with("connection ended")) >= n })
	lines := s.log.with("connection ended")
	if len(lines) != n {
		s.t.Errorf("%d connections have ended, want %d:\n%s", len(lines), n, s.log)
	}
	if strings.Contains(s.log.String(), `"level":"WARN"`) || strings.Contains(s.log.String(), `"level":"ERROR"`) {
		s.t.Errorf("log:\n%s", s.log)
	}
	return lines[n-1]
}

// wantEnd checks the line of a connection that has ended.
func (s *server) wantEnd(how string, attrs ...any) {
	s.t.Helper()
	line := s.ended(1)
	if line["how"] != how || line["service"] != "test" || line["level"] != "INFO" {
		s.t.Errorf("ended %v, want how %s", line, how)
	}
	for i := 0; i < len(attrs); i += 2 {
		if line[attrs[i].(string)] != attrs[i+1] {
			s.t.Errorf("ended %v, want %v", line, attrs)
		}
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

var lastAeon atomic.Int64

// aeon is a number of seconds that nothing else on this machine sleeps.
func aeon() string {
	return strconv.Itoa(200_000_000 + os.Getpid()*1000 + int(lastAeon.Add(1)))
}

// wantGone waits until no process has the word in its arguments.
func wantGone(t *testing.T, word string) {
	t.Helper()
	eventually(t, "nothing is left", func() bool { return len(alive(word)) == 0 })
}

// alive lists the processes, other than zombies, with that in their arguments.
func alive(word string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte(word)) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}
