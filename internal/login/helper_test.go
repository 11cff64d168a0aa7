//go:build unix

package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/internal/transport"
)

// A server accepts logins and says what became of them.
type server struct {
	addr string
	port int
	key  *auth.HostKey

	mu      sync.Mutex
	allowed map[string]bool // by mark
	tried   []string        // by mark: what was asked for, in order
}

// serve starts a server, which greets whoever it accepts.
func serve(t *testing.T, key *auth.HostKey) *server {
	t.Helper()
	s := &server{key: key, allowed: map[string]bool{}}
	l, err := transport.ListenTCP(t.Context(), "127.0.0.1:0", &transport.TCPListenOptions{HostKeys: []*auth.HostKey{key}, Authorizer: s})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = "127.0.0.1"
	s.port = l.Addr().(*net.TCPAddr).Port
	listentest.Serve(t, l, func(c net.Conn) { s.talk(c.(*transport.ServerConn)) })
	return s
}

func (s *server) talk(c *transport.ServerConn) {
	if c.Handshake(context.Background()) == nil {
		_, _ = io.WriteString(c, "welcome")
		_, _ = io.Copy(io.Discard, c)
	}
}

func (s *server) Authorize(_ context.Context, a *transport.Attempt) (*transport.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, mark(a.Key))
	if !s.allowed[mark(a.Key)] {
		return nil, errors.New("not allowed")
	}
	return &transport.Grant{}, nil
}

// allow makes these the only keys that may log in.
func (s *server) allow(keys ...*auth.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.allowed)
	for _, k := range keys {
		s.allowed[mark(k)] = true
	}
	s.tried = nil
}

func (s *server) attempts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tried...)
}

// A world is a home directory, a server that is known there, and what the
// client is told.
type world struct {
	*server
	home string
	cfg  *Config

	mu       sync.Mutex
	warnings []string
	log      bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{home: t.TempDir()}
	if err := os.Mkdir(filepath.Join(w.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.server = serve(t, newKey(t, filepath.Join(t.TempDir(), "host")))
	w.cfg = &Config{
		Host: w.addr, Port: w.port, User: "alice", Home: w.home, CacheDir: filepath.Join(w.home, ".cache", "rex"),
		GlobalKnownHostsFiles: []string{}, EarlyData: true, StdinSafe: true,
		Warn: func(text string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.warnings = append(w.warnings, text)
		},
		Log: slog.New(slog.NewTextHandler(w, nil)),
	}
	if err := knownhosts.Add(w.path("known_hosts"), w.addr, w.port, w.key.Key(), false); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// path is a file in .ssh.
func (w *world) path(name string) string { return filepath.Join(w.home, ".ssh", name) }

// identity makes a key in .ssh.
func (w *world) identity(t *testing.T, name string) *auth.Key { return newKey(t, w.path(name)).Key() }

// warned are the warnings since the last call.
func (w *world) warned() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.warnings, "\n")
	w.warnings = nil
	return text
}

// dial logs in and returns the connection, on which the server has greeted.
func (w *world) dial(t *testing.T) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	greeted(t, c)
	return c
}

func greeted(t *testing.T, c *Conn) {
	t.Helper()
	got := make([]byte, 7)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "welcome" {
		t.Fatalf("the server said %q, %v", got, err)
	}
	c.Accepted()
}

// newKey makes a key in OpenSSH's format, which is good for a host and for a
// user.
func newKey(t *testing.T, path string) *auth.HostKey {
	t.Helper()
	key, err := auth.CreateHostKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// program runs one of OpenSSH's, which CI has.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// sign makes a certificate beside a key, by ssh-keygen.
func sign(t *testing.T, authority, path string, options ...string) *auth.Key {
	t.Helper()
	program(t, "ssh-keygen", append(append([]string{"-q", "-s", authority, "-I", "id", "-n", "alice"}, options...), path+".pub")...)
	cert, err := auth.LoadCertificate(path + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// startAgent starts an ssh-agent with these keys, and returns its socket.
func startAgent(t *testing.T, paths ...string) string {
	t.Helper()
	sock := socketPath(t)
	bin, err := exec.LookPath("ssh-agent")
	if err != nil {
		program(t, "ssh-agent") // skips, or fails
	}
	cmd := exec.Command(bin, "-D", "-a", sock)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", sock); err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("ssh-agent does not listen")
		}
	}
	t.Setenv("SSH_AUTH_SOCK", sock)
	for _, path := range paths {
		program(t, "ssh-add", "-q", path)
	}
	return sock
}

// socketPath is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// fakeAgent listens and does with each connection what talk says.
func fakeAgent(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	sock := socketPath(t)
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Serve(t, l, talk)
	return sock
}

// A script answers questions in its order and notes them.
type script struct {
	answers []string
	asked   []string
	err     error
}

func (s *script) Answer(_ context.Context, question string) (string, error) {
	s.asked = append(s.asked, question)
	if s.err != nil {
		return "", s.err
	}
	if len(s.answers) == 0 {
		return "", fmt.Errorf("one question too many: %q", question)
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return answer, nil
}

func (s *script) Passphrase(ctx context.Context, question string) ([]byte, error) {
	answer, err := s.Answer(ctx, question)
	return []byte(answer), err
}
