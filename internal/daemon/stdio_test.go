//go:build linux || darwin || freebsd

package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// A stdioRexd is a client of rexd --stdio, and how that ended.
type stdioRexd struct {
	client *session.Client
	stderr *bytes.Buffer
	ended  func() error
	pid    int
}

// overSocket has one socket as the standard streams.
func overSocket(t *testing.T, cmd *exec.Cmd) stdioRexd {
	t.Helper()
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	conn, err := transport.DialCommand(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	c, err := session.NewClient(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-conn.(*transport.CommandConn).Exited()
	})
	return stdioRexd{c, stderr, func() error {
		<-conn.(*transport.CommandConn).Exited()
		return conn.(*transport.CommandConn).ExitErr()
	}, cmd.Process.Pid}
}

// pipeConn is two pipes.
type pipeConn struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p pipeConn) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p pipeConn) CloseWrite() error           { return p.in.Close() }
func (p pipeConn) Close() error                { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }

// overPipes has two pipes as the standard streams.
func overPipes(t *testing.T, cmd *exec.Cmd) stdioRexd {
	t.Helper()
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := session.NewClient(pipeConn{out, in}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		waitFor(t, cmd)
	})
	return stdioRexd{c, stderr, cmd.Wait, cmd.Process.Pid}
}

func TestStdio(t *testing.T) {
	for name, over := range map[string]func(*testing.T, *exec.Cmd) stdioRexd{"socket": overSocket, "pipes": overPipes} {
		t.Run(name, func(t *testing.T) {
			r := over(t, command(t, "--stdio"))
			cmd := r.client.Command("cat")
			cmd.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
			out, err := cmd.Output()
			if err != nil || len(out) != 1<<20 {
				t.Errorf("%d bytes, %v", len(out), err)
			}
			// Its own standard streams are neither the connection nor a terminal.
			out, err = r.client.Shell("readlink /proc/$PPID/fd/0 /proc/$PPID/fd/1 || true").Output()
			if lines := strings.Fields(string(out)); err != nil || len(lines) == 2 && (lines[0] != os.DevNull || lines[1] != os.DevNull) {
				t.Errorf("%q, %v", out, err)
			}
			r.client.Close()
			if err := r.ended(); err != nil {
				t.Errorf("rexd: %v", err)
			}
			if r.stderr.Len() > 0 {
				t.Errorf("it is not quiet: %s", r.stderr)
			}
		})
	}
}

func TestStdioLogs(t *testing.T) {
	r := overSocket(t, command(t, "--stdio", "--log-level", "info"))
	if err := r.client.Command("true").Run(); err != nil {
		t.Error(err)
	}
	r.client.Close()
	r.ended()
	if log := r.stderr.String(); !strings.Contains(log, `"peer":"stdio"`) || !strings.Contains(log, `"user":"`+userName()+`"`) {
		t.Errorf("log: %s", log)
	}
}

// TestStdioSignals has what comes from terminals not end the session.
func TestStdioSignals(t *testing.T) {
	r := overSocket(t, command(t, "--stdio"))
	if err := r.client.Command("true").Run(); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE} {
		if err := syscall.Kill(r.pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.client.Command("true").Run(); err != nil {
		t.Errorf("after the signals: %v", err)
	}
	hold(t, r.client)
	for r.client.Err() == nil { // how many of these become one is not known
		syscall.Kill(r.pid, syscall.SIGTERM)
		time.Sleep(time.Millisecond)
	}
	if err := r.ended(); err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != exitError {
			t.Errorf("rexd: %v", err)
		}
	}
}

// TestStdioClientGone closes the connection under a command that does not
// end by itself.
func TestStdioClientGone(t *testing.T) {
	cmd := command(t, "--stdio")
	conn, err := transport.DialCommand(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	c, err := session.NewClient(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, c)
	conn.Close()
	<-conn.(*transport.CommandConn).Exited()
	if err := conn.(*transport.CommandConn).ExitErr(); err != nil {
		t.Errorf("rexd: %v", err)
	}
}

func TestStdioEmpty(t *testing.T) {
	conn, err := transport.DialCommand(t.Context(), command(t, "--stdio"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.CloseWrite()
	<-conn.(*transport.CommandConn).Exited()
	if err := conn.(*transport.CommandConn).ExitErr(); err != nil {
		t.Errorf("a session without a byte: %v", err)
	}
}

func TestStdioViolation(t *testing.T) {
	cmd := command(t, "--stdio")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	conn, err := transport.DialCommand(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /\x1b[2J HTTP/1.1\r\n\r\n")
	<-conn.(*transport.CommandConn).Exited()
	e, ok := errors.AsType[*exec.ExitError](conn.(*transport.CommandConn).ExitErr())
	if !ok || e.ExitCode() != exitError || !strings.HasPrefix(stderr.String(), "rexd: error: ") || strings.Contains(stderr.String(), "\x1b") {
		t.Errorf("%v, %q", e, stderr.String())
	}
}

func TestStdioNoConnection(t *testing.T) {
	cmd := command(t, "--stdio") // on /dev/null
	got := runToEnd(t, cmd)
	if got.code != exitUsage || !strings.Contains(got.stderr, "standard input is a terminal or another device") || !strings.Contains(got.stderr, "ssh host rexd --stdio") {
		t.Errorf("%+v", got)
	}
	config := writeConfig(t, "foo = 1")
	cmd = command(t, "--stdio", "--config", config)
	cmd.Stdin = strings.NewReader("")
	if got := runToEnd(t, cmd); got.code != exitUsage || !strings.Contains(got.stderr, "unknown key foo") {
		t.Errorf("%+v", got)
	}
}
