//go:build linux || darwin || freebsd

package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/rexec/rex/internal/term"
)

// A desk is a terminal with a user in front of it.
type desk struct {
	t      *testing.T
	master *os.File
	asker  *asker

	mu     sync.Mutex
	screen bytes.Buffer
	read   chan struct{} // closed when the terminal is gone
	paused int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, master: master, read: make(chan struct{})}
	d.asker = &asker{tty: tty, pause: func() func() { d.paused++; return func() { d.paused += 10 } }}
	go func() {
		defer close(d.read)
		b := make([]byte, 512)
		for {
			n, err := master.Read(b)
			d.mu.Lock()
			d.screen.Write(b[:n])
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		d.asker.close()
		master.Close()
		<-d.read
	})
	return d
}

func (d *desk) shown() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.screen.String()
}

// await waits until the screen has a text.
func (d *desk) await(text string) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(d.shown(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("the screen has no %q: %q", text, d.shown())
		}
	}
}

func (d *desk) echoes() bool { return term.Modes(d.asker.tty)["echo"] == 1 }

func TestAskerAnswer(t *testing.T) {
	d := newDesk(t)
	go func() {
		d.await("(yes/no)? ")
		d.master.WriteString("yes\nleft over\n")
	}()
	answer, err := d.asker.Answer(t.Context(), "the host x\x1b[2J\x9b is not known\nconnect (yes/no)? ")
	if err != nil || answer != "yes" || d.paused != 11 {
		t.Errorf("%q, %v, %d", answer, err, d.paused)
	}
	d.await(`x\x1b[2J\x9b is not known` + "\r\r\nconnect")
	if strings.Contains(d.shown(), "\x1b[2J") {
		t.Errorf("raw: %q", d.shown())
	}
	// What was typed ahead is the next answer.
	if answer, err := d.asker.Answer(t.Context(), "and? "); err != nil || answer != "left over" {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestAskerPassphrase(t *testing.T) {
	d := newDesk(t)
	go func() {
		d.await("passphrase: ")
		if d.echoes() {
			t.Error("it would be shown")
		}
		d.master.WriteString("secrxt\x7f\x7fet\n")
	}()
	answer, err := d.asker.Passphrase(t.Context(), "passphrase: ")
	if err != nil || string(answer) != "secret" || !d.echoes() {
		t.Errorf("%q, %v, echo %v", answer, err, d.echoes())
	}
	d.asker.tty.WriteString("end of it")
	d.await("end of it")
	if strings.Contains(d.shown(), "sec") {
		t.Errorf("shown: %q", d.shown())
	}
}

// An interrupted question leaves the terminal as it was.
func TestAskerInterrupted(t *testing.T) {
	d := newDesk(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by interrupt")
	go func() {
		d.await("passphrase: ")
		cancel(stopped)
	}()
	if _, err := d.asker.Passphrase(ctx, "passphrase: "); !errors.Is(err, stopped) || !d.echoes() {
		t.Errorf("%v, echo %v", err, d.echoes())
	}
	d.master.WriteString("\n") // lets go of the line that nobody waits for
}

func TestAskerEndOfInput(t *testing.T) {
	d := newDesk(t)
	d.master.WriteString("\x04")
	if answer, err := d.asker.Answer(t.Context(), "? "); err == nil {
		t.Errorf("%q", answer)
	}
	go d.master.WriteString("half\x04\x04")
	if answer, err := d.asker.Answer(t.Context(), "? "); err != nil || answer != "half" {
		t.Errorf("%q, %v", answer, err)
	}
	// The next line begins at the left, and no passphrase is an empty one.
	d.await("? \r\r\n")
	go d.master.WriteString("\x04")
	if answer, err := d.asker.Passphrase(t.Context(), "passphrase: "); err != nil || len(answer) != 0 {
		t.Errorf("%q, %v", answer, err)
	}
	d.await("passphrase: \r\r\n")
}

func TestReadLineIsBounded(t *testing.T) {
	if line, err := readLine(strings.NewReader(strings.Repeat("x", maxAnswer+1) + "\n")); err == nil {
		t.Errorf("%d bytes", len(line))
	}
}

// Without a terminal a program asks, if there is one and somebody would see it.
func TestAskerProgram(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	says, fails, long := script("says", `echo "$1 yes"`), script("fails", "exit 1"), script("long", "head -c 5000 /dev/zero | tr '\\0' x")
	for _, c := range []struct {
		env    map[string]string
		answer string
		ok     bool
		some   bool
	}{
		{map[string]string{"SSH_ASKPASS": says, "DISPLAY": ":0"}, "who? yes", true, true},
		{map[string]string{"SSH_ASKPASS": says, "WAYLAND_DISPLAY": "w"}, "who? yes", true, true},
		{map[string]string{"SSH_ASKPASS": says, "SSH_ASKPASS_REQUIRE": "force"}, "who? yes", true, true},
		{map[string]string{"SSH_ASKPASS": says}, "", false, false},
		{map[string]string{"SSH_ASKPASS": says, "DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "never"}, "", false, false},
		{map[string]string{"DISPLAY": ":0"}, "", false, false},
		{map[string]string{"SSH_ASKPASS": fails, "DISPLAY": ":0"}, "", false, true},
		{map[string]string{"SSH_ASKPASS": long, "DISPLAY": ":0"}, "", false, true},
		{map[string]string{"SSH_ASKPASS": dir + "/none", "DISPLAY": ":0"}, "", false, true},
	} {
		r := testRunner(t, "host")
		r.env.Getenv = func(name string) string { return c.env[name] }
		a := r.newAsker()
		a.close()
		a.tty = nil
		if a.canAsk() != c.some {
			t.Errorf("%v: can ask: %v", c.env, a.canAsk())
		}
		if !c.some {
			continue
		}
		answer, err := a.Answer(t.Context(), "who?")
		if (err == nil) != c.ok || answer != c.answer {
			t.Errorf("%v: %q, %v", c.env, answer, err)
		}
		if secret, err := a.Passphrase(t.Context(), "who?"); (err == nil) != c.ok || string(secret) != c.answer {
			t.Errorf("%v: %q, %v", c.env, secret, err)
		}
	}
	r := testRunner(t, "-oBatchMode=yes", "host")
	r.env.Getenv = func(string) string { return says }
	if a := r.newAsker(); a.canAsk() {
		t.Error("with BatchMode nobody is asked")
	}
}

// Time for a question is not time without an answer from the host.
func TestPauseTimeout(t *testing.T) {
	r := testRunner(t, "-oConnectTimeout=3600", "host")
	r.pauseTimeout()() // there is none yet
	fired := make(chan struct{})
	r.timeout = time.AfterFunc(time.Hour, func() { close(fired) })
	resume := r.pauseTimeout()
	if r.timeout.Stop() {
		t.Error("it runs while it is paused")
	}
	resume()
	if !r.timeout.Stop() {
		t.Error("it does not run afterwards")
	}
	r.timeout.Reset(0)
	<-fired
	r.pauseTimeout()() // too late
	if r.timeout.Stop() {
		t.Error("it runs again after it was over")
	}
}

// A process that was stopped and continued asks again, with the terminal as it
// has to be: the shell has changed its mode.
func TestAskerContinued(t *testing.T) {
	d := newDesk(t)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		d.await("passphrase: ")
		stty := exec.Command("stty", "echo")
		stty.Stdin = d.asker.tty
		if err := stty.Run(); err != nil || !d.echoes() {
			t.Error(err)
		}
		for end := time.Now().Add(20 * time.Second); strings.Count(d.shown(), "passphrase: ") < 2; time.Sleep(10 * time.Millisecond) {
			syscall.Kill(os.Getpid(), syscall.SIGCONT)
			if time.Now().After(end) {
				t.Error("not asked again")
				break
			}
		}
		if d.echoes() {
			t.Error("it would be shown")
		}
		d.master.WriteString("secret\n")
	}()
	answer, err := d.asker.Passphrase(t.Context(), "passphrase: ")
	<-asked
	if err != nil || string(answer) != "secret" || !d.echoes() || strings.Contains(d.shown(), "secret") {
		t.Errorf("%q, %v, echo %v, shown %q", answer, err, d.echoes(), d.shown())
	}
}
