//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialers are the two implementations of DialCommand.
func dialers() map[string]func(context.Context, *exec.Cmd) (Conn, error) {
	return map[string]func(context.Context, *exec.Cmd) (Conn, error){
		"socketpair": DialCommand,
		"pipes":      dialPipes,
	}
}

func TestCommandEcho(t *testing.T) {
	for name, dial := range dialers() {
		t.Run(name, func(t *testing.T) {
			noNewFiles(t)
			cmd := helper(t, "echo")
			stderr := &syncBuffer{}
			cmd.Stderr = stderr
			c, err := dial(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			sent := make([]byte, 1<<20)
			rand.Read(sent)
			go func() {
				c.Write(sent)
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
			}
			conn := c.(*CommandConn)
			receive(t, conn.Exited())
			if err := conn.ExitErr(); err != nil || stderr.String() != "echo ended\n" {
				t.Errorf("command: %v, %q", err, stderr.String())
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCommandHalfEnd has the command end its output first, and then told
// something.
func TestCommandHalfEnd(t *testing.T) {
	for name, dial := range dialers() {
		t.Run(name, func(t *testing.T) {
			cmd := helper(t, "halfend")
			stderr := &syncBuffer{}
			cmd.Stderr = stderr
			c, err := dial(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := c.Write([]byte("wait!")); err != nil {
				t.Error(err)
			}
			c.Close()
			receive(t, c.(*CommandConn).Exited())
			if stderr.String() != "wait!" {
				t.Errorf("the command read %q", stderr.String())
			}
		})
	}
}

func TestCommandCloseUnblocks(t *testing.T) {
	for name, dial := range dialers() {
		t.Run(name, func(t *testing.T) {
			noNewFiles(t)
			c, err := dial(t.Context(), exec.Command("sleep", "1000"))
			if err != nil {
				t.Fatal(err)
			}
			c.(*CommandConn).child.term = 0
			read, written := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				read <- err
			}()
			go func() {
				var err error
				for err == nil {
					_, err = c.Write(make([]byte, 1<<20))
				}
				written <- err
			}()
			c.Close()
			c.Close()
			if err := receive(t, read); err == nil {
				t.Error("Read: no error")
			}
			if err := receive(t, written); err == nil {
				t.Error("Write: no error")
			}
			receive(t, c.(*CommandConn).Exited())
		})
	}
}

// TestCommandLadder closes the connection of commands that go on all the same.
func TestCommandLadder(t *testing.T) {
	for kind, want := range map[string]syscall.Signal{"polite": syscall.SIGTERM, "stubborn": syscall.SIGKILL} {
		t.Run(kind, func(t *testing.T) {
			noNewFiles(t)
			c, err := DialCommand(t.Context(), helper(t, "stay", kind))
			if err != nil {
				t.Fatal(err)
			}
			conn := c.(*CommandConn)
			conn.child.term, conn.child.kill = 10*time.Millisecond, 50*time.Millisecond
			if kind == "polite" {
				conn.child.kill = time.Hour
			}
			if _, err := io.ReadFull(c, make([]byte, len("ready"))); err != nil {
				t.Fatal(err)
			}
			if conn.ExitErr() != nil {
				t.Error("ended by itself")
			}
			c.Close()
			receive(t, conn.Exited())
			exit, ok := errors.AsType[*exec.ExitError](conn.ExitErr())
			if !ok || exit.Sys().(syscall.WaitStatus).Signal() != want {
				t.Errorf("ended by %v, want %v", conn.ExitErr(), want)
			}
		})
	}
}

func TestCommandFails(t *testing.T) {
	for name, dial := range dialers() {
		t.Run(name, func(t *testing.T) {
			noNewFiles(t)
			if _, err := dial(t.Context(), exec.Command("/nonexistent/program")); err == nil {
				t.Error("no program: no error")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := dial(ctx, exec.Command("true")); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled: %v", err)
			}
			cmd := exec.Command("true")
			cmd.Stdin = strings.NewReader("")
			if _, err := dial(t.Context(), cmd); err == nil {
				t.Error("Stdin is taken: no error")
			}
			c, err := dial(t.Context(), exec.Command("false"))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("Read: %d, %v", n, err)
			}
			receive(t, c.(*CommandConn).Exited())
			if c.(*CommandConn).ExitErr() == nil {
				t.Error("false succeeded")
			}
			c.Close()
		})
	}
}
