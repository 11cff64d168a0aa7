//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
)

// answering listens and answers each connection with what it is given; it
// keeps the connection open until the test ends unless end is set.
func answering(t *testing.T, answer []byte, end bool) (path string) {
	t.Helper()
	path = filepath.Join(socketDir(t), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Write(answer)
		if !end {
			proto.ReadAuth(c)
			c.Read(make([]byte, 1)) // until the client goes
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return path
}

func resultFrame(t *testing.T, r *proto.AuthResult) []byte {
	t.Helper()
	frame, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestDialRefused(t *testing.T) {
	noNewFiles(t)
	text := "no\x1b[2J\u202e" + strings.Repeat("!", 500)
	for _, end := range []bool{false, true} { // also by a server that does not read the login
		path := answering(t, resultFrame(t, &proto.AuthResult{Code: proto.AuthBusy, Text: text}), end)
		_, err := DialUnix(t.Context(), path, "")
		e, ok := errors.AsType[*RefusedError](err)
		if !ok || e.Code != proto.AuthBusy {
			t.Fatalf("error %v", err)
		}
		if !strings.HasPrefix(e.Text, `no\x1b[2J\u202e!!!`) || len(e.Text) > 300 {
			t.Errorf("text %q", e.Text)
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "busy") {
			t.Errorf("error says %q", err)
		}
	}
}

func TestDialForeign(t *testing.T) {
	noNewFiles(t)
	for _, tt := range []struct{ name, answer, want string }{
		{"ssh", "SSH-2.0-OpenSSH_9.2\r\n", "speaks ssh"},
		{"http", "HTTP/1.1 400 Bad Request\r\n\r\n", "speaks http"},
		{"ftp", "220 hi\r\n", `it sent "220 "`},
		{"escape", "\x1b[2J", `it sent "\x1b[2J"`},
		{"long result", "\x00\x00\x08\x01", "does not speak rex"},
		{"wrong type", "\x00\x00\x00\x03\x01\x01\x00", "does not speak rex"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DialUnix(t.Context(), answering(t, []byte(tt.answer), false), "")
			if _, ok := errors.AsType[*ForeignPeerError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDialNoVerdict(t *testing.T) {
	noNewFiles(t)
	for _, answer := range []string{"", "\x00\x00\x00", "\x00\x00\x00\x0c\x02\x01"} {
		_, err := DialUnix(t.Context(), answering(t, []byte(answer), true), "")
		if err == nil {
			t.Errorf("after %q: no error", answer)
		}
	}
	path := answering(t, nil, false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := DialUnix(ctx, path, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server: %v", err)
	}
	path = answering(t, nil, false)
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, stop)
	if _, err := DialUnix(ctx, path, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	if _, err := DialUnix(t.Context(), path, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := DialUnix(t.Context(), path, ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dead socket: %v", err)
	}
	for _, user := range []string{"-oProxyCommand=x", "a b", "a\nb", strings.Repeat("x", 256)} {
		_, err := DialUnix(t.Context(), path, user)
		if _, ok := errors.AsType[*proto.AuthError](err); !ok {
			t.Errorf("user %q: %v", user, err)
		}
	}
}
