//go:build unix

package session_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// Dial reaches a server on a Unix socket, which knows who is there.
func TestDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := transport.ListenUnix(path, transport.UnixOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var book logBook
	srv := &session.Server{Handler: newHandler(t, ""), Log: book.logger(0)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	client, err := session.Dial(t.Context(), "unix:"+path, &session.Options{Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := client.Command("echo", "hello").Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != session.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if me, err := user.Current(); err == nil && !strings.Contains(book.String(), "user="+me.Username) {
		t.Errorf("the log does not name %s:\n%s", me.Username, book.String())
	}
}

func TestDialFails(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	for addr, want := range map[string]string{
		"tcp:127.0.0.1:1":                        "no address",
		"":                                       "no host",
		"tcp:x":                                  "bad port",
		"[::1]:":                                 "bad port",
		"[::1]x":                                 "bad address",
		"host:0":                                 "bad port",
		"host:65536":                             "bad port",
		"@host":                                  "no user",
		"-oProxyCommand=x":                       "begins with '-'",
		"-x@host":                                "user name",
		"a b":                                    "forbidden",
		"127.0.0.1:1":                            "no key to log in with",
		fmt.Sprintf("unix:%s/none", t.TempDir()): "none",
	} {
		client, err := session.Dial(t.Context(), addr, nil)
		if err == nil || client != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
		if errors.Is(err, session.ErrConnLost) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// anybody lets everybody in that can prove to be somebody.
type anybody struct{}

func (anybody) Authorize(context.Context, *transport.Attempt) (*transport.Grant, error) {
	return &transport.Grant{}, nil
}

// TestDialNetwork uses the keys and the known hosts of the user's home.
func TestDialNetwork(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	host, err := auth.CreateHostKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.CreateHostKey(filepath.Join(home, ".ssh", "id_ed25519")); err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenTCP(t.Context(), "127.0.0.1:0", &transport.TCPListenOptions{HostKeys: []*auth.HostKey{host}, Authorizer: anybody{}})
	if err != nil {
		t.Fatal(err)
	}
	srv := &session.Server{Handler: newHandler(t, "")}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	port := l.Addr().(*net.TCPAddr).Port

	addr := fmt.Sprintf("127.0.0.1:%d", port)
	if _, err := session.Dial(t.Context(), addr, nil); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("a host that is not known: %v", err)
	}
	if err := knownhosts.Add(filepath.Join(home, ".ssh", "known_hosts"), "127.0.0.1", port, host.Key(), true); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{addr, "bob@" + addr, fmt.Sprintf("[127.0.0.1]:%d", port)} {
		client, err := session.Dial(t.Context(), addr, &session.Options{Software: "test"})
		if err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		if out, err := client.Command("echo", "hello").Output(); err != nil || string(out) != "hello\n" {
			t.Errorf("%q, %v", out, err)
		}
		if err := client.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != session.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
}

func TestWindowFor(t *testing.T) {
	for rtt, want := range map[time.Duration]int{
		0: 256 << 10, 999 * time.Microsecond: 256 << 10, time.Millisecond: 256 << 10, 2 * time.Millisecond: 500_000,
		10 * time.Millisecond: 2_500_000, 50 * time.Millisecond: 12_500_000, 100 * time.Millisecond: 16 << 20, time.Hour: 16 << 20,
	} {
		if got := session.WindowFor(rtt); got != want {
			t.Errorf("%v: %d, want %d", rtt, got, want)
		}
	}
}
