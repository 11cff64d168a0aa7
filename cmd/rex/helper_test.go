//go:build linux || darwin || freebsd

package main

import (
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

	"github.com/creack/pty"
)

// patience is how long something that takes a moment may take.
const patience = 20 * time.Second

// raceOptions let programs under the race detector end at once, not after a
// second in which races might still be found.
const raceOptions = "atexit_sleep_ms=0"

// until polls a condition that something else makes true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// member is a member of a JSON object as text.
func member(object, name string) string {
	var members map[string]any
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		return err.Error()
	}
	switch value := members[name].(type) {
	case nil:
		return ""
	case float64:
		return fmt.Sprintf("%.0f", value)
	default:
		return fmt.Sprint(value)
	}
}

// transcript is what a program has written so far.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	read int // how far see has looked
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// sees reports whether text stands in what was not looked at yet, and looks
// past it.
func (o *transcript) sees(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := strings.Index(o.text.String()[o.read:], text)
	if i >= 0 {
		o.read += i + len(text)
	}
	return i >= 0
}

// running is a program that runs; its group is its own, as if a shell with job control had
// started it.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *transcript // stdout and stderr
	master *os.File    // of its terminal, nil if it has none
	tty    *os.File
	ended  chan struct{}
	err    error
}

// start starts a program without a terminal.
func start(t *testing.T, name string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(name, args...), out: &transcript{}, ended: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.launch()
	return r
}

// startOnTerminal starts a program as the leader of a session on a terminal of
// 30 rows and 100 columns.
func startOnTerminal(t *testing.T, name string, args ...string) *running {
	t.Helper()
	r := newTerminal(t, name, args...)
	r.launch()
	return r
}

// newTerminal is startOnTerminal before the start.
func newTerminal(t *testing.T, name string, args ...string) *running {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		master.Close()
		tty.Close()
	})
	r := &running{t: t, cmd: exec.Command(name, args...), out: &transcript{}, master: master, tty: tty, ended: make(chan struct{})}
	r.resize(30, 100)
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = tty, tty, tty
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go io.Copy(r.out, master) // ends when the master is closed
	return r
}

func (r *running) launch() {
	r.t.Helper()
	r.cmd.Env = append(os.Environ(), "SHELL=/bin/sh", "TERM=vt100", "PS1=$ ", "GORACE="+raceOptions)
	r.cmd.WaitDelay = patience
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
}

func (r *running) resize(rows, cols uint16) {
	r.t.Helper()
	if err := pty.Setsize(r.master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		r.t.Fatal(err)
	}
}

// types sends keys.
func (r *running) types(keys string) {
	r.t.Helper()
	if _, err := r.master.WriteString(keys); err != nil {
		r.t.Fatal(err)
	}
}

// see waits for a text in the output, after the one seen before.
func (r *running) see(text string) {
	r.t.Helper()
	for end := time.Now().Add(patience); !r.out.sees(text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%q did not come; the output:\n%s", text, r.out)
		}
	}
}

func (r *running) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// ends waits for the end and checks it, as exitcode takes it.
func (r *running) ends(want string) {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatalf("still running; the output:\n%s", r.out)
	}
	if got := ending(r.err); got != want {
		r.t.Errorf("ended with %s, want %s; the output:\n%s", got, want, r.out)
	}
}

// mode is the mode of the terminal.
func (r *running) mode() string {
	r.t.Helper()
	stty := exec.Command("stty", "-g")
	stty.Stdin = r.tty
	out, err := stty.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

// startDaemon starts a daemon on a socket and returns it with the host's name.
func startDaemon(t *testing.T) (rexd *running, host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	rexd = start(t, "rexd", "--listen", "unix:"+socket)
	until(t, "a socket", func() bool { _, err := os.Stat(socket); return err == nil })
	return rexd, "unix:" + socket
}

// alive reports whether a process runs and is no zombie.
func alive(pid string) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

// readPID waits for a command to write a process id to a file.
func readPID(t *testing.T, name string) string {
	t.Helper()
	var pid string
	until(t, "a process id in "+name, func() bool {
		b, err := os.ReadFile(name)
		pid = strings.TrimSpace(string(b))
		return err == nil && strings.HasSuffix(string(b), "\n")
	})
	return pid
}

// gone waits until a process is no more.
func gone(t *testing.T, pid string) {
	t.Helper()
	until(t, "the end of process "+pid, func() bool { return !alive(pid) })
}

// kill ends a process that a test leaves behind.
func kill(t *testing.T, pid string) {
	t.Helper()
	if err := exec.Command("kill", "-9", pid).Run(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Log(err)
	}
}
