//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
)

// exhaustive makes the tests of damaged handshakes try everything.
const exhaustive = "REX_EXHAUSTIVE"

// ignoredByTLS says whether a byte is the version in the header of an end's first
// record, which "MUST be ignored for all purposes" and is all of a handshake
// that nothing covers (RFC 8446, section 5.1).
func ignoredByTLS(at int) bool { return at == 1 || at == 2 }

// TestAttackBitFlips: no login through a handshake of which one bit is changed,
// as seen by the end that the change was made against.
func TestAttackBitFlips(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer), time.Second)
	sent := s.measure(t, signer)
	var tried int
	for direction, n := range sent {
		toServer := direction == 1
		for i := range n * 8 {
			if os.Getenv(exhaustive) == "" && rand.IntN(n*8) >= 120 {
				continue
			}
			tried++
			m := newMiddle(t, s.Addr().String(), flip(toServer, i/8, uint(i%8)))
			client, server := s.attempt(t, m, signer)
			m.ln.Close()
			if ignoredByTLS(i / 8) {
				continue
			}
			if toServer && server || client {
				t.Errorf("bit %d of %d to the server (%v): the client took it (%v), the server took it (%v)", i, n*8, toServer, client, server)
			}
		}
	}
	t.Logf("%d of %d bits", tried, 8*(sent[0]+sent[1]))
}

// TestAttackTruncation: a handshake that is cut anywhere is no login.
func TestAttackTruncation(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer), time.Second)
	sent := s.measure(t, signer)
	for direction, n := range sent {
		toServer := direction == 1
		for i := range n {
			if os.Getenv(exhaustive) == "" && rand.IntN(n) >= 60 {
				continue
			}
			m := newMiddle(t, s.Addr().String(), truncate(toServer, i))
			client, server := s.attempt(t, m, signer)
			m.ln.Close()
			if toServer && server || client {
				t.Errorf("cut at %d of %d to the server (%v): the client took it (%v), the server took it (%v)", i, n, toServer, client, server)
			}
		}
	}
}

// TestAttackRelay: a server that the user trusts cannot use the login that it
// is sent at another server, even as the same user, because it does not hold
// that server's host key and the connections have different secrets.
func TestAttackRelay(t *testing.T) {
	signer := newIdentity(t)
	target := serveTCP(t, admit("alice", signer))
	relay := newHostKey(t)
	leaf, err := newLeaf(relay)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig(alpnPrefix+"ssh-ed25519", leaf))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	verdicts := make(chan error, 1)
	go func() {
		victim, err := ln.Accept()
		if err != nil {
			verdicts <- err
			return
		}
		defer victim.Close()
		login, err := proto.ReadAuth(victim)
		if err != nil {
			verdicts <- err
			return
		}
		verdicts <- replay(target.Addr().String(), login)
	}()
	opts := target.options(signer)
	opts.VerifyHost = func(context.Context, *HostProof) error { return nil } // the relay is a host of the user's
	c, err := DialTCP(t.Context(), "127.0.0.1", ln.Addr().(*net.TCPAddr).Port, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-verdicts; !errors.As(err, new(*RefusedError)) {
		t.Errorf("the relayed login: %v", err)
	}
	if got := target.login(t); got.err == nil {
		t.Error("the target took it")
	}
}

// replay sends a login that somebody else made.
func replay(addr string, login *proto.Auth) error {
	conn, err := tls.Dial("tcp", addr, clientConfig(HostKeyTypes()))
	if err != nil {
		return err
	}
	defer conn.Close()
	frame, err := login.Append(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	result, err := proto.ReadAuthResult(conn)
	if err != nil {
		return err
	}
	if result.Code != proto.AuthOK {
		return refused(result)
	}
	return nil
}

// TestAttackReplay: a login that was good once is good for its connection only.
func TestAttackReplay(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer))
	recorder := &recordingSigner{Signer: signer}
	c, err := s.dial(t, s.options(recorder))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verdict(); err != nil {
		t.Fatal(err)
	}
	s.login(t).conn.Close()
	err = replay(s.Addr().String(), &proto.Auth{
		Mode: proto.AuthKey, User: "alice", Keys: [][]byte{signer.Key().Blob()}, Signature: recorder.last, Ext: make([]byte, 8),
	})
	if !errors.As(err, new(*RefusedError)) {
		t.Errorf("the same login again: %v", err)
	}
	if got := s.login(t); got.err == nil {
		t.Error("the server took it")
	}
}

type recordingSigner struct {
	auth.Signer
	last []byte
}

func (r *recordingSigner) Sign(ctx context.Context, s *auth.Statement) (sig []byte, err error) {
	r.last, err = r.Signer.Sign(ctx, s)
	return r.last, err
}

// TestAttackOfferedIsNotProven: who offers the key of another and signs with
// their own is nobody (CVE-2024-45337).
func TestAttackOfferedIsNotProven(t *testing.T) {
	victim, mallory := newIdentity(t), newIdentity(t)
	s := serveTCP(t, admit("alice", victim, mallory))
	for name, second := range map[string]*proto.Auth{
		"another key":   {Mode: proto.AuthKey, User: "alice", Keys: [][]byte{mallory.Key().Blob()}},
		"another user":  {Mode: proto.AuthKey, User: "bob", Keys: [][]byte{victim.Key().Blob()}},
		"own signature": {Mode: proto.AuthKey, User: "alice", Keys: [][]byte{victim.Key().Blob()}},
		"a second list": {Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{mallory.Key().Blob()}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", s.Addr().String(), clientConfig(HostKeyTypes()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			writeAuth(t, conn, &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{victim.Key().Blob()}, Ext: make([]byte, 8)})
			if r, err := proto.ReadAuthResult(conn); err != nil || r.Code != proto.AuthNeedSig || r.Index != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			cs := conn.ConnectionState()
			exporter, err := exported(&cs)
			if err != nil {
				t.Fatal(err)
			}
			if second.Mode == proto.AuthKey {
				second.Signature, err = mallory.Sign(t.Context(), &auth.Statement{
					Exporter: exporter, ALPN: cs.NegotiatedProtocol, HostKey: s.key.Key(), User: second.User, Key: mallory.Key(),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			second.Ext = make([]byte, 8)
			writeAuth(t, conn, second)
			if r, err := proto.ReadAuthResult(conn); err != nil || r.Code != proto.AuthDenied {
				t.Errorf("%+v, %v", r, err)
			}
			conn.Close()
			if got := s.login(t); got.err == nil {
				t.Error("the server took it")
			}
		})
	}
}

// A script is a connection in memory on which a client has said all it will.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (p *script) Read(b []byte) (int, error)       { return p.in.Read(b) }
func (p *script) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *script) CloseWrite() error                { return nil }
func (p *script) SetReadDeadline(time.Time) error  { return nil }
func (p *script) SetWriteDeadline(time.Time) error { return nil }

// TestAttackRandomFrames: whatever a client sends before it has logged in, in
// whatever order, nobody is let in (CVE-2018-10933, CVE-2025-32433).
func TestAttackRandomFrames(t *testing.T) {
	known := newIdentity(t)
	l, err := newTCPListener(&TCPListenOptions{HostKeys: []*auth.HostKey{newHostKey(t)}, Authorizer: admit("alice", known)})
	if err != nil {
		t.Fatal(err)
	}
	const sequences = 100_000
	rnd := rand.New(rand.NewPCG(1, 2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a refusal does not wait
	parts := randomParts(t, known)
	for i := range sequences {
		var stream []byte
		for range 1 + rnd.IntN(4) {
			stream = append(stream, parts[rnd.IntN(len(parts))]...)
		}
		if i%3 == 0 {
			stream[rnd.IntN(len(stream))] ^= byte(1 + rnd.IntN(255))
		}
		login := &serverLogin{
			listener: l, conn: &script{in: bytes.NewReader(stream)}, start: time.Now(),
			remote: netip.MustParseAddrPort("192.0.2.1:1"), exporter: func() ([]byte, error) { return make([]byte, 32), nil },
			alpn: alpnPrefix + "ssh-ed25519", host: known.Key(),
		}
		if user, grant, err := login.run(ctx); err == nil || user != "" || grant != nil {
			t.Fatalf("sequence %d logged in as %q: %x", i, user, stream)
		}
	}
}

// randomParts are frames of a login and of what comes after it, right by
// themselves, but without a signature that fits.
func randomParts(t *testing.T, known auth.Signer) (parts [][]byte) {
	t.Helper()
	sig, err := known.Sign(t.Context(), &auth.Statement{
		Exporter: bytes.Repeat([]byte{1}, 32), ALPN: alpnPrefix + "ssh-ed25519", HostKey: known.Key(), User: "alice", Key: known.Key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	key := known.Key().Blob()
	for _, a := range []*proto.Auth{
		{Mode: proto.AuthKey, User: "alice", Keys: [][]byte{key}, Signature: sig, Ext: make([]byte, 8)},
		{Mode: proto.AuthKey, User: "bob", Keys: [][]byte{key}, Signature: []byte("x")},
		{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{key}},
		{Mode: proto.AuthNegotiate, User: "bob", Keys: [][]byte{[]byte("x"), key}},
		{Mode: proto.AuthPeer, User: "root"},
	} {
		frame, err := a.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, frame)
	}
	ok, err := (&proto.AuthResult{Code: proto.AuthOK, Ext: make([]byte, 56)}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	exec, err := proto.Append(nil, &proto.Message{Exec: &proto.Exec{ID: 1, Argv: [][]byte{[]byte("true")}, Status: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return append(parts, ok, exec, []byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 0, 0}, []byte{1, 0, 0, 4, 1, 2, 3, 4}, []byte{0}, []byte("SSH-2.0-x\r\n"))
}

// TestAttackSilence: who stops at any point of the login is cut off by one
// deadline, and leaves nothing behind.
func TestAttackSilence(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer), 500*time.Millisecond)
	sent := s.measure(t, signer)
	var wg sync.WaitGroup
	const points = 20
	for i := range points {
		wg.Go(func() {
			at := sent[1] * i / points
			raw, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer raw.Close()
			half := &limited{Conn: raw, left: at}
			conn := tls.Client(half, clientConfig(HostKeyTypes()))
			_ = conn.SetDeadline(time.Now().Add(patience))
			if conn.Handshake() == nil {
				_, _ = conn.Write(make([]byte, 100))
			}
			_, _ = io.Copy(io.Discard, raw)
		})
	}
	for range points {
		if got := s.login(t); got.err == nil {
			t.Error("somebody logged in")
		}
	}
	wg.Wait()
}

// limited passes on so many bytes and swallows the rest.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if n > 0 {
		if m, err := l.Conn.Write(p[:n]); err != nil {
			return m, err
		}
	}
	return len(p), nil
}
