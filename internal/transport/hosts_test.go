//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/proto"
)

// keygen runs ssh-keygen, or skips the test where there is none.
func keygen(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ssh-keygen must be installed in CI")
		}
		t.Skip("needs ssh-keygen")
	}
	if out, err := exec.Command(program, append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
	}
}

// TestHostKeyTypes: the server shows the first key that the client would like
// to see, of those it has, whatever the type.
func TestHostKeyTypes(t *testing.T) {
	dir := t.TempDir()
	types := map[string][]string{
		"ssh-ed25519": {"-t", "ed25519"}, "ecdsa-sha2-nistp256": {"-t", "ecdsa", "-b", "256"}, "ecdsa-sha2-nistp384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa-sha2-nistp521": {"-t", "ecdsa", "-b", "521"}, "ssh-rsa": {"-t", "rsa", "-b", "2048"},
	}
	var keys []*auth.HostKey
	for name, args := range types {
		path := filepath.Join(dir, name)
		keygen(t, append(args, "-N", "", "-f", path)...)
		key, err := auth.LoadHostKey(path)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	signer := newIdentity(t)
	l, err := ListenTCP(t.Context(), "127.0.0.1:0", &TCPListenOptions{HostKeys: keys, Authorizer: admit("alice", signer)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, want := range HostKeyTypes() {
		go func() { // ends with the connection
			if c, err := l.Accept(); err == nil {
				_ = c.(*ServerConn).Handshake(context.Background())
				_, _ = c.Read(make([]byte, 1))
				c.Close()
			}
		}()
		c, err := DialTCP(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port, &TCPOptions{
			User: "alice", Signers: []auth.Signer{signer}, HostKeyTypes: []string{"ssh-dss", want, "ssh-ed25519", "ssh-rsa"},
			VerifyHost: func(_ context.Context, p *HostProof) error {
				if p.Key.Type() != want {
					t.Errorf("%s for %s", p.Key.Type(), want)
				}
				return nil
			},
		})
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if err := c.Verdict(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		c.Close()
	}
}

// TestHostCertificate: the OpenSSH certificate of a host key reaches who
// decides on the host.
func TestHostCertificate(t *testing.T) {
	dir := t.TempDir()
	keygen(t, "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "ca"))
	keygen(t, "-t", "ecdsa", "-N", "", "-f", filepath.Join(dir, "host"))
	keygen(t, "-s", filepath.Join(dir, "ca"), "-I", "id", "-h", "-n", "web1", filepath.Join(dir, "host.pub"))
	key, err := auth.LoadHostKey(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := newLeaf(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := key.Certificate()
	other, err := newCase(key.Signer().Public(), newHostKey(t).Key())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		leaf tls.Certificate
		err  string
	}{
		"good":    {leaf, "looked at"},
		"of none": {tls.Certificate{Certificate: [][]byte{other}, PrivateKey: key.Signer()}, "host certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig(alpnPrefix+key.Key().Type(), c.leaf))
			if err != nil {
				t.Fatal(err)
			}
			listentest.Serve(t, ln, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
			_, err = DialTCP(t.Context(), "127.0.0.1", ln.Addr().(*net.TCPAddr).Port, &TCPOptions{
				User: "alice", Signers: []auth.Signer{newIdentity(t)},
				VerifyHost: func(_ context.Context, p *HostProof) error {
					if !p.Cert.Equal(cert) || !p.Key.Equal(key.Key()) {
						t.Errorf("%v for %v", p.Cert, p.Key)
					}
					return errors.New("looked at")
				},
			})
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Error(err)
			}
		})
	}
}

// TestHostileVerdicts: what a server says to a login reaches nobody raw, and
// is never taken for a yes.
func TestHostileVerdicts(t *testing.T) {
	host := newHostKey(t)
	leaf, err := newLeaf(host)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(r *proto.AuthResult) []byte {
		b, err := r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	text := "\x1b]0;owned\x07 \u202e \u009b31m " + strings.Repeat("x", 900)
	for name, says := range map[string][]byte{
		"escapes":      frame(&proto.AuthResult{Code: proto.AuthDenied, Text: text}),
		"sign again":   frame(&proto.AuthResult{Code: proto.AuthNeedSig, Index: 0}),
		"short grant":  frame(&proto.AuthResult{Code: proto.AuthOK, Ext: make([]byte, 55)}),
		"no grant":     frame(&proto.AuthResult{Code: proto.AuthOK}),
		"endless":      {0xff, 0xff, 0xff, 0xff, 2, 1, 0, 0},
		"half":         frame(&proto.AuthResult{Code: proto.AuthOK, Ext: make([]byte, 56)})[:20],
		"an AUTH":      {0, 0, 0, 12, 1, 1, 4, 0, 0, 0, 1, 'z', 0, 0, 0, 0},
		"unknown code": {0, 0, 0, 12, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"nothing":      {},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig(alpnPrefix+"ssh-ed25519", leaf))
			if err != nil {
				t.Fatal(err)
			}
			listentest.Serve(t, ln, func(c net.Conn) {
				if _, err := proto.ReadAuth(c); err == nil {
					_, _ = c.Write(says)
				}
			})
			_, err = DialTCP(t.Context(), "127.0.0.1", ln.Addr().(*net.TCPAddr).Port, &TCPOptions{
				User: "alice", Signers: []auth.Signer{newIdentity(t)}, AwaitVerdict: true,
				VerifyHost: func(context.Context, *HostProof) error { return nil },
			})
			if err == nil {
				t.Fatal("taken for a yes")
			}
			if strings.ContainsAny(err.Error(), "\x1b\x07\u202e\u009b") || len(err.Error()) > 512 {
				t.Errorf("%q reaches the terminal", err)
			}
		})
	}
}

// TestTCPHostChanges: a host that was looked at for long is asked again, and
// must still be the one that was looked at. Nothing is signed for another.
func TestTCPHostChanges(t *testing.T) {
	known := newIdentity(t)
	first, second := serveTCP(t, admit("alice", known)), serveTCP(t, admit("alice", known))
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		promptTime time.Duration
		to         []*tcpServer // nil is one that cannot be reached
		err        string       // empty if the login succeeds
	}{
		"soon":        {time.Hour, []*tcpServer{first}, ""},
		"the same":    {-1, []*tcpServer{first, first}, ""},
		"another key": {-1, []*tcpServer{first, second}, "another key"},
		"gone":        {-1, []*tcpServer{first, nil}, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			signer := &countingSigner{Signer: known}
			opts := first.options(signer)
			opts.AwaitVerdict = true
			asked, dialed := 0, 0
			opts.VerifyHost = func(ctx context.Context, p *HostProof) error {
				asked++
				return first.trust(ctx, p)
			}
			opts.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				s := c.to[dialed]
				if dialed++; s == nil {
					return nil, gone
				}
				return NewDialer().DialContext(ctx, network, s.Addr().String())
			}
			d := newDialer("host", 22, opts)
			d.promptTime = c.promptTime
			conn, err := d.dial(t.Context())
			if err == nil {
				conn.Close()
			}
			signed := signer.signed.Load()
			if (err == nil) != (c.err == "") || err != nil && (signed != 0 || !strings.Contains(err.Error(), c.err)) || err == nil && signed != 1 {
				t.Errorf("%v, and %d were signed", err, signed)
			}
			if asked != 1 || dialed != len(c.to) {
				t.Errorf("asked %d times, dialed %d times", asked, dialed)
			}
			for i, s := range c.to {
				if s == nil {
					continue
				}
				last := i == len(c.to)-1
				got := s.login(t)
				got.conn.Close()
				if (got.err == nil) != (last && c.err == "") {
					t.Errorf("connection %d: %v", i, got.err)
				}
			}
		})
	}
}

// TestTCPCrowd: a network with too many connections that say nothing loses its
// oldest, and others log in.
func TestTCPCrowd(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer))
	for range networkPending + 1 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if got := s.login(t); !errors.Is(got.err, ErrCrowded) {
		t.Errorf("%v", got.err)
	}
	opts := s.options(signer)
	opts.AwaitVerdict = true
	if _, err := s.dial(t, opts); err != nil {
		t.Errorf("one who logs in: %v", err)
	}
}
