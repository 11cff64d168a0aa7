//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/proto"
)

// TestTLSRefusesClients: what a client offers that the server does not take.
// The first row is the control.
func TestTLSRefusesClients(t *testing.T) {
	known := newIdentity(t)
	s := serveTCP(t, admit("alice", known))
	for name, c := range map[string]struct {
		change func(cfg *tls.Config)
		want   string // what the server says, empty if it takes it
	}{
		"rex":            {func(*tls.Config) {}, ""},
		"tls 1.2":        {func(cfg *tls.Config) { cfg.MinVersion, cfg.MaxVersion = 0, tls.VersionTLS12 }, "unsupported versions"},
		"x25519":         {func(cfg *tls.Config) { cfg.CurvePreferences = []tls.CurveID{tls.X25519} }, "key exchange"},
		"p256":           {func(cfg *tls.Config) { cfg.CurvePreferences = []tls.CurveID{tls.CurveP256} }, "key exchange"},
		"no identity":    {func(cfg *tls.Config) { cfg.NextProtos = []string{alpnPrefix + "none"} }, "certificate"},
		"another type":   {func(cfg *tls.Config) { cfg.NextProtos = []string{alpnPrefix + "ssh-rsa"} }, "application protocol"},
		"of rex in part": {func(cfg *tls.Config) { cfg.NextProtos = []string{"rex/1"} }, "application protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clientConfig(HostKeyTypes())
			c.change(cfg)
			conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
			if (err == nil) != (c.want == "") {
				t.Errorf("the client: %v", err)
			}
			if err == nil {
				conn.Close()
			}
			got := s.login(t)
			if got.err == nil || !strings.Contains(got.err.Error(), c.want) {
				t.Fatalf("the server: %v", got.err)
			}
			if reached := strings.HasSuffix(got.err.Error(), "EOF"); reached != (c.want == "") {
				t.Errorf("the login was waited for (%v): %v", reached, got.err)
			}
		})
	}
}

// noTickets is a cache of sessions that counts what it is given.
type noTickets struct {
	tls.ClientSessionCache
	stored atomic.Int32
}

func (c *noTickets) Put(key string, s *tls.ClientSessionState) {
	c.stored.Add(1)
	c.ClientSessionCache.Put(key, s)
}

// TestTLSNoResumption: a client that would like to resume a session gets no
// ticket for it.
func TestTLSNoResumption(t *testing.T) {
	known := newIdentity(t)
	s := serveTCP(t, admit("alice", known))
	cache := &noTickets{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	for range 2 {
		cfg := clientConfig(HostKeyTypes())
		cfg.SessionTicketsDisabled, cfg.ClientSessionCache = false, cache
		conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		// Tickets come before the answer to the login.
		writeAuth(t, conn, &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{known.Key().Blob()}})
		readVerdict(t, conn)
		if conn.ConnectionState().DidResume {
			t.Error("the session was resumed")
		}
		conn.Close()
		s.login(t)
	}
	if n := cache.stored.Load(); n > 0 {
		t.Errorf("%d tickets", n)
	}
}

// TestTLSHello: what a client shows to everybody on the way is not the name of
// the host, nor a session that it had before.
func TestTLSHello(t *testing.T) {
	hellos := make(chan *tls.ClientHelloInfo, 1)
	at := listentest.Listen(t, func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hellos <- hello
			return nil, context.Canceled
		}}).Handshake()
	})
	_, err := DialTCP(t.Context(), "web1.example", 22, &TCPOptions{
		User: "alice", Signers: []auth.Signer{newIdentity(t)}, VerifyHost: func(context.Context, *HostProof) error { return nil },
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return NewDialer().DialContext(ctx, network, at.String())
		},
	})
	if err == nil {
		t.Error("connected")
	}
	hello := receive(t, hellos)
	if hello.ServerName != "" || len(hello.SupportedVersions) != 1 || hello.SupportedVersions[0] != tls.VersionTLS13 ||
		len(hello.SupportedCurves) != 1 || hello.SupportedCurves[0] != tls.X25519MLKEM768 {
		t.Errorf("it says %+v", hello)
	}
	const preSharedKey, earlyData = 41, 42
	for _, ext := range hello.Extensions {
		if ext == preSharedKey || ext == earlyData {
			t.Errorf("extension %d", ext)
		}
	}
}
