//go:build unix

package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Clients that pass descriptors in other ways than they should. Nothing of
// theirs may stay in the server or reach another command.

// loggedIn is a connection for one command, after the login.
func loggedIn(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	return loggedInWith(t, path, func(*net.UnixConn) {})
}

// loggedInWith calls more before it reads the verdict.
func loggedInWith(t *testing.T, path string, more func(*net.UnixConn)) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.(*net.UnixConn)
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	me, err := (&proto.Auth{Mode: proto.AuthDescriptors, User: userName(t)}).Append(nil)
	if err == nil {
		_, err = conn.Write(me)
	}
	if err != nil {
		t.Fatal(err)
	}
	more(conn)
	if r, err := proto.ReadAuthResult(conn); err != nil || r.Code != proto.AuthOK {
		t.Fatalf("login: %+v, %v", r, err)
	}
	return conn
}

// execFrame is an exec of /bin/sh with a script.
func execFrame(t *testing.T, script string, change func(*proto.Exec)) []byte {
	t.Helper()
	e := &proto.Exec{ID: 1, Argv: [][]byte{[]byte("/bin/sh"), []byte("-c"), []byte(script)}}
	if change != nil {
		change(e)
	}
	frame, err := proto.Append(nil, &proto.Message{Exec: e})
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// sendFiles writes b with descriptors.
func sendFiles(t *testing.T, conn *net.UnixConn, b []byte, files ...*os.File) {
	t.Helper()
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	if _, _, err := conn.WriteMsgUnix(b, unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
}

// answerOf reads until the end and returns the kinds of messages that came, and
// the code of a refusal.
func answerOf(t *testing.T, conn net.Conn) (kinds string, code proto.Code) {
	t.Helper()
	frames := proto.NewReader(conn, proto.MaxFrame)
	for {
		m, err := frames.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
				t.Fatalf("after %q: %v", kinds, err)
			}
			return strings.TrimSpace(kinds), code
		}
		kinds += m.Kind() + " "
		if m.Refused != nil {
			code = m.Refused.Code
		}
	}
}

func TestHostilePassing(t *testing.T) {
	one := func(e *proto.Exec) { e.Stdin = 1 }
	for name, c := range map[string]struct {
		files  int
		change func(*proto.Exec)
		code   proto.Code // empty: it runs
	}{
		"as it should be": {1, one, ""},
		"none announced":  {0, nil, ""},
		"none came":       {0, one, proto.CodeBadStream},
		"surplus":         {2, one, proto.CodeBadStream},
		"all surplus":     {64, nil, proto.CodeBadStream},
		"beyond":          {1, func(e *proto.Exec) { e.Stdin, e.Stdout = 1, 2 }, proto.CodeBadStream},
		"a file beyond":   {1, func(e *proto.Exec) { e.Files = []uint32{1, 64} }, proto.CodeBadStream},
		"kept":            {1, func(e *proto.Exec) { e.Stdin, e.Orphan = 1, proto.OrphanKeep }, proto.CodeUnsupported},
		"a status stream": {1, func(e *proto.Exec) { e.Stdin, e.Status = 1, 3 }, proto.CodeInvalid},
		"a terminal too":  {1, func(e *proto.Exec) { e.Stdout, e.Term = 1, &proto.Term{} }, proto.CodeInvalid},
		"a NUL":           {1, func(e *proto.Exec) { e.Stdin, e.Dir = 1, []byte("\x00") }, proto.CodeInvalid},
		"no program":      {1, func(e *proto.Exec) { e.Stdin, e.Argv = 1, [][]byte{[]byte("no-such-program")} }, proto.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
			before := descriptors()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			files := make([]*os.File, c.files)
			for i := range files {
				files[i] = w
			}
			conn := loggedIn(t, path)
			sendFiles(t, conn, execFrame(t, "exit 0", c.change), files...)
			_ = w.Close()
			kinds, code := answerOf(t, conn)
			if code != c.code || c.code == "" && kinds != "started exited ended" {
				t.Errorf("%s %q, want %q", kinds, code, c.code)
			}
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the pipe is still held: %v", err)
			}
			_, _ = conn.Close(), r.Close()
			eventually(t, "the server holds nothing", func() bool { return descriptors() <= before })
		})
	}
}

// TestHostilePassingKinds: what is never a command's.
func TestHostilePassingKinds(t *testing.T) {
	path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, f := range []*os.File{master, slave, dir} {
		for _, change := range []func(*proto.Exec){
			func(e *proto.Exec) { e.Stdin = 1 },
			func(e *proto.Exec) { e.Stderr = 1 },
			func(e *proto.Exec) { e.Files = []uint32{1} },
		} {
			conn := loggedIn(t, path)
			sendFiles(t, conn, execFrame(t, "exit 0", change), f)
			if kinds, code := answerOf(t, conn); code != proto.CodeBadStream {
				t.Errorf("%s: %s %q", f.Name(), kinds, code)
			}
		}
	}
}

// TestHostilePassingFrames: what ends the connection, before a command and
// beside one, which then gets its policy.
func TestHostilePassingFrames(t *testing.T) {
	frame := func(m *proto.Message) []byte {
		b, err := proto.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	signal := func(id uint64) []byte { return frame(&proto.Message{Signal: &proto.Signal{ID: id, Name: "WINCH"}}) }
	for name, c := range map[string]struct {
		says  []byte
		files bool // with a descriptor
	}{
		"garbage":             {[]byte("GET / HTTP/1.1\r\n\r\n"), false},
		"a frame too long":    {binary.BigEndian.AppendUint32(nil, proto.MaxExecFrame+1), false},
		"an empty frame":      {make([]byte, 4), false},
		"hello":               {frame(&proto.Message{Hello: &proto.Hello{Version: 1, Caps: []string{}}}), false},
		"another's signal":    {signal(2), false},
		"another's size":      {frame(&proto.Message{Resize: &proto.Resize{ID: 2}}), false},
		"a later descriptor":  {signal(1), true}, // with the first message: a message that is no exec
		"descriptor, garbage": {[]byte("\xff\xff\xff\xff"), true},
	} {
		for _, running := range []bool{false, true} {
			var log logBook
			path := listenPassing(t, &session.Server{Handler: newHandler(t, ""), Log: log.logger(slog.LevelDebug)})
			before := descriptors()
			conn := loggedIn(t, path)
			word := aeon()
			killAtEnd(t, word)
			if running {
				sendFiles(t, conn, execFrame(t, "sleep "+word+" & wait", nil))
				eventually(t, "it runs", isAlive(t, word))
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if c.files {
				sendFiles(t, conn, c.says, w)
			} else if _, err := conn.Write(c.says); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
			if kinds, _ := answerOf(t, conn); !running && kinds != "" {
				t.Errorf("%s: %s", name, kinds)
			}
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: the pipe is still held: %v", name, err)
			}
			_, _ = conn.Close(), r.Close()
			eventually(t, "the command is gone", isGone(t, word))
			eventually(t, "the server holds nothing", func() bool { return descriptors() <= before })
			eventually(t, name+" is in the log", func() bool { return strings.Contains(log.String(), "session ended") })
		}
	}
}

// TestPassingClientsDie: at any byte of the request, with and without what it
// announces. Nothing runs, nothing is left.
func TestPassingClientsDie(t *testing.T) {
	path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
	before := descriptors()
	whole := execFrame(t, "exit 0", func(e *proto.Exec) { e.Stdout = 1 })
	for n := range len(whole) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		conn := loggedIn(t, path)
		if n > 0 {
			sendFiles(t, conn, whole[:n], w)
		}
		_ = w.Close()
		_ = conn.CloseWrite()
		if kinds, _ := answerOf(t, conn); kinds != "" {
			t.Fatalf("%d bytes: %s", n, kinds)
		}
		_ = r.SetReadDeadline(time.Now().Add(patience))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("%d bytes: the pipe is still held: %v", n, err)
		}
		_, _ = conn.Close(), r.Close()
	}
	eventually(t, "the server holds nothing", func() bool { return descriptors() <= before })
}

// TestPassedLate: a descriptor with a byte that is not the first ends the
// connection, even where the system has joined the bytes.
func TestPassedLate(t *testing.T) {
	path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
	word := aeon()
	killAtEnd(t, word)
	whole := execFrame(t, "sleep "+word, func(e *proto.Exec) { e.Stdout = 1 })
	signal, err := proto.Append(nil, &proto.Message{Signal: &proto.Signal{ID: 1, Name: "WINCH"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, parts := range map[string][2][]byte{
		"within the request": {whole[:10], whole[10:]},
		"behind it":          {execFrame(t, "sleep "+word, nil), signal},
	} {
		for range amount(20) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			conn := loggedInWith(t, path, func(conn *net.UnixConn) { // before the server looks
				sendFiles(t, conn, parts[0])
				sendFiles(t, conn, parts[1], w)
			})
			_ = w.Close()
			if kinds, _ := answerOf(t, conn); strings.Contains(kinds, "ended") {
				t.Fatalf("%s: %s", name, kinds)
			}
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("%s: the pipe is still held: %v", name, err)
			}
			_, _ = conn.Close(), r.Close()
		}
		eventually(t, "nothing runs", isGone(t, word))
	}
}

// TestPassedViolation: the connection ends at once, also while the command takes
// its time to end.
func TestPassedViolation(t *testing.T) {
	path := listenPassing(t, &session.Server{Handler: newHandler(t, "")})
	word := aeon()
	killAtEnd(t, word)
	conn := loggedIn(t, path)
	sendFiles(t, conn, execFrame(t, "trap '' HUP TERM; sleep "+word+" & wait; wait", nil))
	eventually(t, "it runs", isAlive(t, word))
	frames := proto.NewReader(conn, proto.MaxFrame)
	if m, err := frames.Next(); err != nil || m.Started == nil {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := conn.Write([]byte("\xff\xff\xff\xff")); err != nil {
		t.Fatal(err)
	}
	if m, err := frames.Next(); err == nil {
		t.Errorf("the server goes on with %s", m.Kind())
	}
	eventually(t, "it is gone", isGone(t, word))
}

// TestPassedStaysWithItsCommand: another command that starts meanwhile has
// nothing of it.
func TestPassedStaysWithItsCommand(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		client, _ := dialPassing(t, &session.Server{Handler: newHandler(t, mode)})
		var others []*session.Cmd
		for range 20 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			c, other := client.Command("true"), client.Command("sleep", aeon())
			c.Stdout = w
			var starting sync.WaitGroup
			starting.Go(func() { // while the server has the pipe
				if err := other.Start(); err != nil {
					t.Error(err)
				}
			})
			mustStart(t, c)
			_ = w.Close()
			starting.Wait()
			others = append(others, other)
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadAll(r); err != nil { // no end as long as anybody else can write
				t.Errorf("another command has the pipe: %v", err)
			}
			_ = r.Close()
			if err := finish(t, "Wait", c.Wait); err != nil {
				t.Error(err)
			}
		}
		for _, c := range others {
			_ = c.SignalTo("KILL", session.ToTree)
			_ = finish(t, "Wait", c.Wait)
		}
	})
}

// TestManyPassed: the last is as the first.
func TestManyPassed(t *testing.T) {
	client, _ := dialPassing(t, &session.Server{Handler: newHandler(t, "")})
	before := descriptors()
	for i := range amount(400) {
		out, got := outFile(t)
		c := client.Command("echo", "hello")
		c.Stdout = out
		if err := c.Run(); err != nil || got() != "hello\n" {
			t.Fatalf("%d: %q, %v", i, got(), err)
		}
		_ = out.Close()
	}
	eventually(t, "nothing is left", func() bool { return descriptors() <= before })
}

// TestDialCommandCanceled: a server that does not answer does not hold a client.
func TestDialCommandCanceled(t *testing.T) {
	l, err := transport.ListenUnix(socketPath(t), transport.UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client := session.UnixClient(l.Addr().String(), "")
	err = finish(t, "Run", client.CommandContext(ctx, "true").Run)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
	_ = client.Close()
	if err := client.Command("true").Run(); !errors.Is(err, session.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
