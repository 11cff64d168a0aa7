//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// handlerFunc is a handler made of a function.
type handlerFunc func(ctx context.Context, req *session.Request) (session.Process, error)

func (f handlerFunc) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	return f(ctx, req)
}

func TestZeroServerRefuses(t *testing.T) {
	link := connect(t, &session.Server{})
	for range 2 {
		err := finish(t, "Run", link.Command("true").Run)
		if refused, ok := errors.AsType[*session.Error](err); !ok || refused.Code != proto.CodeNoHandler {
			t.Errorf("error %v", err)
		}
	}
	if err := link.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

func TestHandlerErrors(t *testing.T) {
	answers := make(chan error, 1)
	link := connect(t, &session.Server{Handler: handlerFunc(func(context.Context, *session.Request) (session.Process, error) {
		return nil, <-answers
	})})
	for _, c := range []struct {
		answer  error
		code    proto.Code
		message string
	}{
		{&session.Refusal{Code: proto.CodePermissionDenied, Message: "not you"}, proto.CodePermissionDenied, "not you"},
		{proto.CodeUnsupported, proto.CodeUnsupported, proto.CodeUnsupported.Error()},
		{fmt.Errorf("wrapped: %w", &session.Refusal{Code: proto.CodeBusy}), proto.CodeBusy, ""},
		{errCustom, proto.CodeStartFailed, "custom"},
		{errors.New(strings.Repeat("long ", 1000)), proto.CodeStartFailed, strings.Repeat("long ", 1000)[:proto.MaxText]},
		{errors.New("not text \xff\x1b[31m"), proto.CodeStartFailed, "not text ?\x1b[31m"},
	} {
		answers <- c.answer
		refused, ok := errors.AsType[*session.Error](finish(t, "Run", link.Command("it").Run))
		if !ok || refused.Code != c.code || refused.Message != c.message {
			t.Errorf("%v: %+v", c.answer, refused)
		} else if strings.ContainsRune(refused.Error(), '\x1b') {
			t.Errorf("not escaped: %q", refused.Error())
		}
	}
}

// listen returns a listener, and a function that dials it.
func listen(t *testing.T) (net.Listener, func() *session.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l, func() *session.Client {
		t.Helper()
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		client, err := session.NewClient(conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
}

func TestServe(t *testing.T) {
	srv := &session.Server{Handler: newHandler(t, "")}
	l, dial := listen(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	clients := []*session.Client{dial(), dial(), dial()}
	for i, client := range clients {
		out, err := client.Command("echo", "to", fmt.Sprint(i)).Output()
		if err != nil || string(out) != fmt.Sprintf("to %d\n", i) {
			t.Errorf("client %d: %q, %v", i, out, err)
		}
	}
	if err := finish(t, "Shutdown", func() error { return srv.Shutdown(t.Context()) }); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	err := finish(t, "Serve", func() error { return <-served })
	if err != session.ErrServerClosed || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	for _, client := range clients {
		within(t, "the client learns of the end", client.Done())
		if err := client.Command("true").Run(); !errors.Is(err, session.ErrConnLost) {
			t.Errorf("after Shutdown: %v", err)
		}
	}
	again, _ := listen(t)
	if err := srv.Serve(again); err != session.ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if _, err := again.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
	near, far := socketpair(t)
	defer near.Close()
	if err := srv.ServeConn(t.Context(), far, session.Peer{}); err != session.ErrServerClosed {
		t.Errorf("ServeConn after Shutdown: %v", err)
	}
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}

// listenerFunc is a listener made of its Accept.
type listenerFunc func() (net.Conn, error)

func (f listenerFunc) Accept() (net.Conn, error) { return f() }
func (listenerFunc) Close() error                { return nil }
func (listenerFunc) Addr() net.Addr              { return nil }

func TestServeEndsWithItsListener(t *testing.T) {
	for listener, want := range map[error]error{io.EOF: nil, errCustom: errCustom} {
		var srv session.Server
		if err := srv.Serve(listenerFunc(func() (net.Conn, error) { return nil, listener })); err != want {
			t.Errorf("Accept %v: Serve %v", listener, err)
		}
	}
}

// loginConn is a connection that has to log in.
type loginConn struct {
	*net.UnixConn
	login func(ctx context.Context) error
}

func (c loginConn) Handshake(ctx context.Context) error { return c.login(ctx) }
func (c loginConn) User() string                        { return "somebody" }
func (c loginConn) Login() any                          { return "granted" }

// acceptOnly gives Serve one connection, and then waits for its end.
func acceptOnly(t *testing.T, srv *session.Server, conn net.Conn) (served chan error) {
	conns, ended := make(chan net.Conn, 1), make(chan struct{})
	conns <- conn
	served = make(chan error, 1)
	l := closer{listenerFunc(func() (net.Conn, error) {
		select {
		case conn := <-conns:
			return conn, nil
		case <-ended:
			return nil, net.ErrClosed
		}
	}), sync.OnceFunc(func() { close(ended) })}
	go func() { served <- srv.Serve(l) }()
	return served
}

type closer struct {
	listenerFunc
	close func()
}

func (c closer) Close() error { c.close(); return nil }

func TestServeLogsIn(t *testing.T) {
	seen := make(chan session.Peer, 1)
	srv := &session.Server{Handler: handlerFunc(func(_ context.Context, req *session.Request) (session.Process, error) {
		seen <- req.Peer
		return nil, proto.CodeBusy
	})}
	near, far := socketpair(t)
	served := acceptOnly(t, srv, loginConn{far, func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a login without a deadline")
		}
		_, err := far.Read(make([]byte, 5)) // what comes before the session is the login's
		return err
	}})
	if _, err := near.Write([]byte("login")); err != nil {
		t.Fatal(err)
	}
	client, err := session.NewClient(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Command("true").Run(); !errors.Is(err, proto.CodeBusy) {
		t.Error(err)
	}
	if peer := <-seen; peer.User != "somebody" || peer.Login != "granted" {
		t.Errorf("the handler sees %+v", peer)
	}
	_ = client.Close()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
}

func TestServeRefusesALogin(t *testing.T) {
	var book logBook
	srv := &session.Server{Log: book.logger(slog.LevelInfo)}
	near, far := socketpair(t)
	defer near.Close()
	served := acceptOnly(t, srv, loginConn{far, func(context.Context) error { return errCustom }})
	if b, err := io.ReadAll(near); err != nil || len(b) > 0 {
		t.Errorf("read %q, %v", b, err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
	if !strings.Contains(book.String(), "login refused") || !strings.Contains(book.String(), "custom") {
		t.Errorf("log: %s", book.String())
	}
}

// A login that hangs must not keep the server from ending.
func TestShutdownEndsLogins(t *testing.T) {
	var srv session.Server
	near, far := socketpair(t)
	defer near.Close()
	began := make(chan struct{})
	served := acceptOnly(t, &srv, loginConn{far, func(ctx context.Context) error {
		close(began)
		_, err := far.Read(make([]byte, 1))
		return err
	}})
	within(t, "the login begins", began)
	if err := finish(t, "Shutdown", func() error { return srv.Shutdown(t.Context()) }); err != nil {
		t.Error(err)
	}
	<-served
}

// The end of a session is normal, with and without words.
func TestSessionEndsAreNil(t *testing.T) {
	handler := newHandler(t, "")
	for name, talk := range map[string]func(t *testing.T, l *link){
		"nothing said": func(*testing.T, *link) {},
		"cut":          func(_ *testing.T, l *link) { l.cut() },
		"after a command": func(t *testing.T, l *link) {
			if err := l.Command("true").Run(); err != nil {
				t.Error(err)
			}
		},
		"cut after a command": func(t *testing.T, l *link) {
			if err := l.Command("true").Run(); err != nil {
				t.Error(err)
			}
			l.cut()
		},
		"half closed": func(t *testing.T, l *link) {
			if err := l.near.CloseWrite(); err != nil {
				t.Error(err)
			}
			within(t, "the server ends the session", l.Done())
		},
	} {
		t.Run(name, func(t *testing.T) {
			var book logBook
			link := connect(t, &session.Server{Handler: handler, Log: book.logger(slog.LevelInfo)})
			talk(t, link)
			_ = link.Close()
			if err := link.result(); err != nil {
				t.Error(err)
			}
			if strings.Contains(book.String(), "session") {
				t.Errorf("log above debug: %s", book.String())
			}
		})
	}
	t.Run("no session at all", func(t *testing.T) {
		near, far := socketpair(t)
		_ = near.Close()
		srv := &session.Server{Handler: handler}
		if err := finish(t, "ServeConn", func() error { return srv.ServeConn(t.Context(), far, session.Peer{}) }); err != nil {
			t.Error(err)
		}
	})
}

func TestServeConnEndsWithItsContext(t *testing.T) {
	word := aeon()
	killAtEnd(t, word)
	srv := &session.Server{Handler: newHandler(t, "")}
	near, far := socketpair(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(ctx, far, session.Peer{}) }()
	client, err := session.NewClient(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cmd := client.Command("sleep", word)
	mustStart(t, cmd)
	cancel()
	if err := finish(t, "ServeConn", func() error { return <-served }); err != nil {
		t.Errorf("ServeConn: %v", err)
	}
	if left := alive(t, word); len(left) > 0 {
		t.Errorf("ServeConn returned and left %v", left)
	}
	missing, ok := errors.AsType[*session.ExitMissingError](finish(t, "Wait", cmd.Wait))
	if !ok || !missing.Started || !errors.Is(missing, session.ErrConnLost) {
		t.Errorf("Wait: %v", missing)
	}
}

func TestServerLogs(t *testing.T) {
	var book logBook
	link := connect(t, &session.Server{Handler: newHandler(t, ""), Log: book.logger(slog.LevelInfo)})
	cmd := link.Command("/bin/sh", "-c", "cat; exit 3", "with \x1b escape")
	cmd.Stdin, cmd.Stdout = strings.NewReader("12345"), &bytes.Buffer{}
	_ = cmd.Run()
	_ = link.Command("/no/such/program").Run()
	_ = link.Close()
	_ = link.result()
	text := book.String()
	for _, want := range []string{
		"command started", "user=tester", "peer=test", fmt.Sprintf("pid=%d", cmd.Pid()), `with \x1b escape`,
		"command ended", "how=exited", "code=3", "duration=", "stdin_bytes=5", "stdout_bytes=5", "stderr_bytes=0",
		"command refused", "/no/such/program", "code=not_found",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log:\n%s", want, text)
		}
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Error("the log is not escaped")
	}
	if n := strings.Count(text, "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, text)
	}
}

// deadlineSoon is a context that has almost ended.
func deadlineSoon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
