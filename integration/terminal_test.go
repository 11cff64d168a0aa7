//go:build unix

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// screen is a program on a real terminal, as a person would use it.
type screen struct {
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // held open: its modes are looked at after the program's end
	before unix.Termios

	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{}
}

// openScreen starts rex on a terminal of 24 lines by 80.
func openScreen(t *testing.T, args ...string) *screen {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{cmd: rexCommand(t, args...), master: master, slave: slave, done: make(chan struct{})}
	s.resize(t, 24, 80)
	s.before = s.modes(t)
	s.cmd.Env = append(os.Environ(), "TERM=xterm")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = slave.Close()
		_ = master.Close()
	})
	return s
}

func (s *screen) modes(t *testing.T) unix.Termios {
	t.Helper()
	return *termios(t, int(s.slave.Fd()))
}

func (s *screen) resize(t *testing.T, rows, cols uint16) {
	t.Helper()
	if err := pty.Setsize(s.master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		t.Fatal(err)
	}
}

func (s *screen) keys(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// shows waits until the terminal has printed text since the last call.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	until(t, time.Minute, "the screen shows "+text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := bytes.Index(s.text.Bytes(), []byte(text)); i >= 0 {
			s.text.Next(i + len(text))
			return true
		}
		return false
	})
}

// left checks that the terminal is as it was before.
func (s *screen) left(t *testing.T) {
	t.Helper()
	if after := s.modes(t); after != s.before {
		t.Errorf("the terminal was left in other modes:\nbefore %+v\nafter  %+v", s.before, after)
	}
}

// TestTerminalFullScreen drives an editor through rex, resizes and leaves it.
//
// The size stands in the editor's status line, and the resize comes when it
// waits for a key: vim forgets one that comes while it paints, on any terminal.
func TestTerminalFullScreen(t *testing.T) {
	if _, err := exec.LookPath("vim"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("vim must be installed in CI")
		}
		t.Skip("needs vim")
	}
	const cursorOn = "\x1b[?25h" // the last that vim paints before it waits
	overTransports(t, func(t *testing.T, host string) {
		s := openScreen(t, append([]string{"-t"}, to(host, "vim", "-u", "NONE", "-i", "NONE", "-n")...)...)
		s.shows(t, "VIM")
		s.keys(t, `:set nocompatible laststatus=2 statusline=%{&lines}\ by\ %{&columns}`+"\r")
		s.shows(t, "24 by 80")
		s.shows(t, cursorOn)
		s.resize(t, 30, 100)
		s.shows(t, "30 by 100")
		s.keys(t, ":echo &lines 'x' &columns\r")
		s.shows(t, "30 x 100")
		s.keys(t, ":q!\r")
		if code := exitCode(t, s.cmd.Wait()); code != 0 {
			t.Errorf("status %d", code)
		}
		s.left(t)
	})
}

// TestTerminalRestored: whatever ends rex, the terminal is as before.
func TestTerminalRestored(t *testing.T) {
	t.Run("daemon killed", func(t *testing.T) {
		d := startDaemon(t)
		s := openScreen(t, "-t", d.addr, "stty -echo; echo ready; exec sleep 60")
		s.shows(t, "ready")
		if err := d.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, s.cmd.Wait()); code != 255 {
			t.Errorf("status %d, want 255", code)
		}
		s.left(t)
	})
	t.Run("escape", func(t *testing.T) {
		s := openScreen(t, "-t", "local:", "echo ready; exec sleep 60")
		s.shows(t, "ready")
		s.keys(t, "\r~.")
		if code := exitCode(t, s.cmd.Wait()); code != 255 {
			t.Errorf("status %d, want 255", code)
		}
		s.left(t)
	})
	t.Run("terminated", func(t *testing.T) {
		s := openScreen(t, "-t", "local:", "echo ready; exec sleep 60")
		s.shows(t, "ready")
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, s.cmd.Wait()); code != 128+15 {
			t.Errorf("status %d, want 143", code)
		}
		s.left(t)
	})
	t.Run("login shell", func(t *testing.T) {
		s := openScreen(t, "local:")
		s.keys(t, "echo $((6*7)); exit 5\r")
		s.shows(t, "42")
		if code := exitCode(t, s.cmd.Wait()); code != 5 {
			t.Errorf("status %d, want 5", code)
		}
		s.left(t)
	})
	t.Run("interrupt key", func(t *testing.T) {
		s := openScreen(t, "-t", "local:", "echo ready; exec sleep 60")
		s.shows(t, "ready")
		s.keys(t, "\x03")
		if code := exitCode(t, s.cmd.Wait()); code != 130 {
			t.Errorf("status %d, want 130", code)
		}
		s.left(t)
	})
}
