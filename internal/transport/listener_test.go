//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/rexec/rex/internal/auth"
)

// A listener and a dialer that are not TCP carry the same: what is TCP's alone is
// done without, and addresses are shown as they are.
func TestOtherThanTCP(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	signer, key := newIdentity(t), newHostKey(t)
	l, err := ListenTCP(t.Context(), "web1:7390", &TCPListenOptions{
		HostKeys: []*auth.HostKey{key}, Authorizer: admit("alice", signer),
		Listen: func(ctx context.Context, network, addr string) (net.Listener, error) {
			if network != "tcp" || addr != "web1:7390" {
				t.Errorf("listens on %s %s", network, addr)
			}
			return (&net.ListenConfig{}).Listen(ctx, "unix", path)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- answerOne(t, l, path) }() // ends with the connection
	c, err := DialTCP(t.Context(), "web1", 7390, &TCPOptions{
		User: "alice", Signers: []auth.Signer{signer}, AwaitVerdict: true,
		VerifyHost: func(context.Context, *HostProof) error { return nil },
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr != "web1:7390" {
				t.Errorf("dials %s", addr)
			}
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := receive(t, served); err != nil {
		t.Error(err)
	}
}

// answerOne lets one client in and says a word.
func answerOne(t *testing.T, l *TCPListener, path string) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	conn := c.(*ServerConn)
	if err := conn.Handshake(t.Context()); err != nil {
		return err
	}
	if got := conn.LocalAddr().String(); got != path || conn.Window() != minWindow {
		t.Errorf("at %s, window %d", got, conn.Window())
	}
	if _, err := io.WriteString(conn, "answer"); err != nil {
		return err
	}
	return conn.CloseWrite()
}
