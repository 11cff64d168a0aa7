//go:build unix

package session_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A panic in what belongs to one client ends that alone.

// wantPanic looks for a panic in the log: its value, escaped, and the stack with the function where it was.
func wantPanic(t *testing.T, book *logBook, value, function string) {
	t.Helper()
	log := book.String()
	for _, want := range []string{"level=ERROR", "panic", value, function} {
		if !strings.Contains(log, want) {
			t.Errorf("the log says nothing of %q:\n%s", want, log)
		}
	}
	if strings.ContainsRune(log, '\x1b') {
		t.Errorf("the log is not escaped: %q", log)
	}
}

func panicsInStart(value any) (session.Process, error) { panic(value) }

func TestHandlerPanics(t *testing.T) {
	real := newHandler(t, "")
	for name, c := range map[string]struct {
		value any
		said  string
	}{
		"error":  {errors.New("secret \x1b[31m"), "secret"},
		"string": {"at a loss", "at a loss"},
		"nil":    {nil, "panic called with nil"},
		"code":   {proto.CodeBusy, proto.CodeBusy.Error()}, // not a refusal for that
	} {
		t.Run(name, func(t *testing.T) {
			book := &logBook{}
			link := connect(t, &session.Server{Log: book.logger(slog.LevelInfo), Handler: handlerFunc(
				func(ctx context.Context, req *session.Request) (session.Process, error) {
					if req.Name() == "panic" {
						return panicsInStart(c.value)
					}
					return real.Start(ctx, req)
				})})
			beside := link.Command("cat")
			in, _ := beside.StdinPipe()
			mustStart(t, beside)
			for range 3 {
				err := finish(t, "Run", link.Command("panic").Run)
				refused, ok := errors.AsType[*session.Error](err)
				if !ok || refused.Code != proto.CodeStartFailed || strings.Contains(refused.Message, c.said) {
					t.Errorf("Run: %v", err)
				}
			}
			_ = in.Close()
			if err := finish(t, "Wait", beside.Wait); err != nil {
				t.Errorf("the command beside: %v", err)
			}
			if out, err := link.Command("echo", "fine").Output(); err != nil || string(out) != "fine\n" {
				t.Errorf("afterwards: %q, %v", out, err)
			}
			wantPanic(t, book, c.said, "panicsInStart")
		})
	}
}

func panicsInLogin(context.Context) error { panic("bad key") }

func TestLoginPanics(t *testing.T) {
	book := &logBook{}
	srv := &session.Server{Handler: newHandler(t, ""), Log: book.logger(slog.LevelInfo)}
	other := connect(t, srv)
	near, far := socketpair(t)
	defer near.Close()
	served := acceptOnly(t, srv, loginConn{far, panicsInLogin})
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
	if out, err := other.Command("echo", "fine").Output(); err != nil || string(out) != "fine\n" {
		t.Errorf("the other session: %q, %v", out, err)
	}
	_ = srv.Shutdown(t.Context())
	if err := finish(t, "Serve", func() error { return <-served }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	wantPanic(t, book, "bad key", "panicsInLogin")
}

// brittle is a log that panics when it is asked to tell of a command.
type brittle struct{ slog.Handler }

func (b brittle) WithAttrs(attrs []slog.Attr) slog.Handler {
	if attrs[0].Key == "id" {
		panic("no ids")
	}
	return brittle{b.Handler.WithAttrs(attrs)}
}

// A panic while the messages of a session are taken ends it, with its commands, and no other.
func TestSessionPanics(t *testing.T) {
	book := &logBook{}
	h := newHandler(t, "")
	other := connect(t, &session.Server{Handler: h})
	near, far := socketpair(t)
	link := &link{t: t, near: near, served: make(chan struct{})}
	srv := &session.Server{Handler: h, Log: slog.New(brittle{book.logger(slog.LevelInfo).Handler()})}
	go func() {
		defer close(link.served)
		link.serveError = srv.ServeConn(context.Background(), far, session.Peer{User: "tester"})
	}()
	var err error
	if link.Client, err = session.NewClient(link.near, nil); err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if err := finish(t, "Run", link.Command("true").Run); !errors.Is(err, session.ErrConnLost) {
		t.Errorf("Run: %v", err)
	}
	if err := link.result(); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("ServeConn: %v", err)
	}
	if out, err := other.Command("echo", "fine").Output(); err != nil || string(out) != "fine\n" {
		t.Errorf("the other session: %q, %v", out, err)
	}
	wantPanic(t, book, "no ids", "brittle")
}
