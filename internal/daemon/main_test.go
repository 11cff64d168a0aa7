//go:build linux || darwin || freebsd

package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rexec/rex/session"
)

// patience bounds every wait of these tests for something that happens at once
// on an idle machine.
const patience = 30 * time.Second

// asRexd as the first argument makes this test binary rexd.
const asRexd = "--rexd"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asRexd {
		os.Exit(Main(Env{
			Args:  os.Args[2:],
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			Getenv: os.Getenv, Environ: os.Environ(),
			Self: []string{"/proc/self/exe", asRexd},
		}))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of children
	os.Unsetenv("XDG_CONFIG_HOME")
	syscall.Umask(0o022) // a configuration that a group may write does not count
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left:", err)
		code = 1
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); err != syscall.ECHILD {
		fmt.Fprintln(os.Stderr, "children left:", pid, err)
		code = 1
	}
	os.Exit(code)
}

// command is this test binary as rexd.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{asRexd}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	return cmd
}

// outcome is what a run of rexd to its end left.
type outcome struct {
	code           int
	stdout, stderr string
}

func runToEnd(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, cmd)
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// waitFor waits for cmd, and kills it when it takes too long.
func waitFor(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		t.Errorf("rexd was ended by %v", s.Signal())
	}
}

// socketPath is in a directory that rexd accepts.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rexd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "rexd.sock")
}

// writeConfig writes a configuration and returns its name.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rexd.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A running is a rexd that listens.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	path string

	mu    sync.Mutex
	lines []string
	grown chan struct{} // has a token when lines grew
	ended chan struct{} // closed at the end of the log
}

// start starts rexd on a socket and waits until it listens. The test ends it
// if it does not itself.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	path := socketPath(t)
	return startCommand(t, command(t, append([]string{"--listen", "unix:" + path}, args...)...), path)
}

func startCommand(t *testing.T, cmd *exec.Cmd, path string) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, path: path, grown: make(chan struct{}, 1), ended: make(chan struct{})}
	log, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go r.read(log)
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.stop()
			r.wait()
		}
	})
	r.waitLog("listening")
	return r
}

func (r *running) read(log io.Reader) {
	defer close(r.ended)
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.mu.Lock()
		r.lines = append(r.lines, lines.Text())
		r.mu.Unlock()
		select {
		case r.grown <- struct{}{}:
		default:
		}
	}
}

// logged returns the first record with the message.
func (r *running) logged(msg string) map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		record := make(map[string]any)
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			r.t.Errorf("not a record: %q", line)
		}
		if record["msg"] == msg {
			return record
		}
	}
	return nil
}

// waitLog waits for a record with the message.
func (r *running) waitLog(msg string) map[string]any {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		if record := r.logged(msg); record != nil {
			return record
		}
		select {
		case <-r.grown:
		case <-r.ended:
			if record := r.logged(msg); record != nil {
				return record
			}
			r.cmd.Wait()
			r.t.Fatalf("no %q in the log:\n%s", msg, strings.Join(r.lines, "\n"))
		case <-timeout:
			r.t.Fatalf("no %q in the log:\n%s", msg, strings.Join(r.lines, "\n"))
		}
	}
}

// forget drops the log so far.
func (r *running) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

func (r *running) signal(sig os.Signal) {
	if err := r.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Error(err)
	}
}

// stop sends the two signals that end rexd and its commands. Sent at once they
// could become one.
func (r *running) stop() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	r.waitLog("draining")
	r.signal(syscall.SIGTERM)
}

// wait waits for the end and returns the exit status.
func (r *running) wait() int {
	r.t.Helper()
	kill := time.AfterFunc(patience, func() { r.cmd.Process.Kill() })
	defer kill.Stop()
	<-r.ended // before Wait, which closes the pipe
	waitFor(r.t, r.cmd)
	return r.cmd.ProcessState.ExitCode()
}

// dial starts a session that is closed when the test ends.
func (r *running) dial() *session.Client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c, err := session.Dial(ctx, "unix:"+r.path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}
