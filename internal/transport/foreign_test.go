//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/proto"
)

// What answers and is no rexd.
func TestTCPForeignPeers(t *testing.T) {
	signer := newIdentity(t)
	for name, c := range map[string]struct {
		says string
		want string
	}{
		"ssh":     {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "the other end speaks ssh, not rex"},
		"http":    {"HTTP/1.1 400 Bad Request\r\n\r\n", "the other end speaks http, not rex"},
		"escapes": {"\x1b]0;owned\x07", `\x1b]0;o`},
		"nothing": {"", "handshake: the peer closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			at := listentest.Listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, c.says)
			})
			_, err := DialTCP(t.Context(), "127.0.0.1", at.Port, &TCPOptions{
				User: "alice", Signers: []auth.Signer{signer},
				VerifyHost: func(context.Context, *HostProof) error { return errors.New("asked") },
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\x07") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A TLS server that is no rexd, or not quite.
func TestTCPForeignTLS(t *testing.T) {
	signer := newIdentity(t)
	host := newHostKey(t)
	leaf, err := newLeaf(host)
	if err != nil {
		t.Fatal(err)
	}
	small := rsaLeaf(t, 1024)
	alpn := alpnPrefix + "ssh-ed25519"
	for name, c := range map[string]struct {
		cfg  *tls.Config
		want string
	}{
		"tls 1.2":      {&tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{leaf}, NextProtos: []string{alpn}}, "protocol version"},
		"curve":        {&tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}, Certificates: []tls.Certificate{leaf}, NextProtos: []string{alpn}}, "handshake"},
		"no alpn":      {&tls.Config{Certificates: []tls.Certificate{leaf}}, "does not speak rex"},
		"other alpn":   {&tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{"h2"}}, "no application protocol"},
		"wrong type":   {&tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{alpnPrefix + "ssh-rsa"}}, "of type ssh-ed25519"},
		"small rsa":    {&tls.Config{Certificates: []tls.Certificate{small}, NextProtos: []string{alpnPrefix + "ssh-rsa"}}, "host key"},
		"two leaves":   {&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Certificate[0], leaf.Certificate[0]}, PrivateKey: leaf.PrivateKey}}, NextProtos: []string{alpn}}, "exactly one certificate"},
		"stolen proof": {&tls.Config{Certificates: []tls.Certificate{{Certificate: leaf.Certificate, PrivateKey: newHostKey(t).Signer()}}, NextProtos: []string{alpn}}, "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := tls.Listen("tcp", "127.0.0.1:0", c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			listentest.Serve(t, ln, func(conn net.Conn) {
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					t.Error("the client went on")
				}
			})
			asked := false
			_, err = DialTCP(t.Context(), "127.0.0.1", ln.Addr().(*net.TCPAddr).Port, &TCPOptions{
				User: "alice", Signers: []auth.Signer{signer},
				VerifyHost: func(context.Context, *HostProof) error { asked = true; return errors.New("asked") },
			})
			if err == nil || asked || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (the host was looked at: %v)", err, asked)
			}
		})
	}
}

func newHostKey(t testing.TB) *auth.HostKey {
	t.Helper()
	key, err := auth.CreateHostKey(filepath.Join(t.TempDir(), "host_key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaLeaf is a certificate with an RSA key of so many bits.
func rsaLeaf(t *testing.T, bits int) tls.Certificate {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := newCase(key.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The server's side of what is no login.
func TestTCPHostileClients(t *testing.T) {
	known := newIdentity(t)
	s := serveTCP(t, admit("alice", known))
	hello := func(c *tls.Conn) {}
	for name, c := range map[string]struct {
		protos []string
		do     func(c *tls.Conn)
		want   string
	}{
		"no alpn":         {nil, hello, "does not say that it speaks rex"},
		"other alpn":      {[]string{"h2", "rex/1 x509"}, hello, "handshake"},
		"peer mode":       {nil, nil, "takes keys only"},
		"garbage":         {nil, nil, "auth"},
		"session first":   {nil, nil, "auth"},
		"second login":    {nil, nil, ""},
		"ends in silence": {nil, nil, "EOF"},
	} {
		alpn := []string{alpnPrefix + "ssh-ed25519"}
		send := map[string]func(c *tls.Conn){
			"peer mode":       func(c *tls.Conn) { writeAuth(t, c, &proto.Auth{Mode: proto.AuthPeer, User: "alice"}) },
			"garbage":         func(c *tls.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff}, 100)) },
			"session first":   func(c *tls.Conn) { _, _ = c.Write([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}) },
			"ends in silence": func(c *tls.Conn) { _ = c.CloseWrite() },
			"second login": func(c *tls.Conn) {
				ask := &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{known.Key().Blob()}, Ext: make([]byte, 8)}
				writeAuth(t, c, ask)
				writeAuth(t, c, ask)
			},
		}[name]
		if c.do != nil {
			alpn, send = c.protos, c.do
		}
		t.Run(name, func(t *testing.T) {
			cfg := clientConfig(nil)
			cfg.NextProtos = alpn
			conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
			if err == nil {
				send(conn)
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
			got := s.login(t)
			if got.err == nil || !strings.Contains(got.err.Error(), c.want) {
				t.Errorf("%v", got.err)
			}
		})
	}
}

func writeAuth(t *testing.T, w io.Writer, a *proto.Auth) {
	t.Helper()
	frame, err := a.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(frame)
}
