//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
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
	tried := attackPlaces(t, 120, 8, func(toServer bool, place int) (func(bool) func([]byte) []byte, bool) {
		return flip(toServer, place/8, uint(place%8)), ignoredByTLS(place / 8)
	})
	t.Logf("%d bits", tried)
}

// TestAttackTruncation: a handshake that is cut anywhere is no login.
func TestAttackTruncation(t *testing.T) {
	tried := attackPlaces(t, 60, 1, func(toServer bool, place int) (func(bool) func([]byte) []byte, bool) {
		return truncate(toServer, place), false
	})
	t.Logf("%d cuts", tried)
}

// attackPlaces logs in through a change at some of the places of each direction,
// of which a byte has so many, and says how many were tried. Unless the change
// is one to ignore, the end that it was made against must not succeed.
func attackPlaces(t *testing.T, some, perByte int, at func(toServer bool, place int) (change func(bool) func([]byte) []byte, ignored bool)) (tried int) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer))
	control := func(within time.Duration) bool {
		client, server := s.attempt(t, signer, within, unchanged)
		return client && server
	}
	for direction, n := range s.measure(t, signer) {
		toServer := direction == 1
		for places := range slices.Chunk(sample(n*perByte, some), 200) {
			tried += len(places)
			vouched(t, control, func(within time.Duration) {
				for _, place := range places {
					change, ignored := at(toServer, place)
					client, server := s.attempt(t, signer, within, change)
					if !ignored && (client || toServer && server) {
						t.Errorf("place %d of %d to the server (%v): the client took it (%v), the server took it (%v)", place, n*perByte, toServer, client, server)
					}
				}
			})
		}
	}
	return tried
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
// their own is nobody (CVE-2024-45337), and who was asked for the proof of one
// user gives it for no other, with whatever key (CVE-2023-46446).
func TestAttackOfferedIsNotProven(t *testing.T) {
	victim, mallory := newIdentity(t), newIdentity(t)
	a := admit("alice", victim, mallory)
	a.keys["bob"] = a.keys["alice"]
	s := serveTCP(t, a)
	key := func(user string, key auth.Signer) *proto.Auth {
		return &proto.Auth{Mode: proto.AuthKey, User: user, Keys: [][]byte{key.Key().Blob()}}
	}
	for name, c := range map[string]struct {
		second *proto.Auth
		by     auth.Signer // who signs it, if anybody
		of     string      // for which user
		code   proto.AuthCode
	}{
		"as asked":           {key("alice", victim), victim, "alice", proto.AuthOK},
		"another key":        {key("alice", mallory), mallory, "alice", proto.AuthDenied},
		"own signature":      {key("alice", victim), mallory, "alice", proto.AuthDenied},
		"own, as another":    {key("bob", mallory), mallory, "bob", proto.AuthDenied},
		"another user":       {key("bob", victim), victim, "bob", proto.AuthDenied},
		"another user named": {key("bob", victim), victim, "alice", proto.AuthDenied},
		"another user meant": {key("alice", victim), victim, "bob", proto.AuthDenied},
		"a second list":      {&proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{mallory.Key().Blob()}}, nil, "", proto.AuthDenied},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.shake(t)
			writeAuth(t, conn, &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{victim.Key().Blob()}, Ext: make([]byte, 8)})
			if r, err := proto.ReadAuthResult(conn); err != nil || r.Code != proto.AuthNeedSig || r.Index != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			if c.by != nil {
				c.second.Signature = s.signature(t, conn, c.by, c.of)
			}
			c.second.Ext = make([]byte, 8)
			writeAuth(t, conn, c.second)
			if r, err := proto.ReadAuthResult(conn); err != nil || r.Code != c.code {
				t.Errorf("%+v, %v", r, err)
			}
			conn.Close()
			got := s.login(t)
			got.conn.Close()
			if (got.err == nil) != (c.code == proto.AuthOK) {
				t.Errorf("the server says %v", got.err)
			}
		})
	}
}

// shake makes a TLS connection to the server and says nothing on it.
func (s *tcpServer) shake(t *testing.T) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Addr().String(), clientConfig(HostKeyTypes()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// signature is the proof that signer may log in on this connection as user.
func (s *tcpServer) signature(t *testing.T, conn *tls.Conn, signer auth.Signer, user string) []byte {
	t.Helper()
	cs := conn.ConnectionState()
	exporter, err := exported(&cs)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(t.Context(), &auth.Statement{
		Exporter: exporter, ALPN: cs.NegotiatedProtocol, HostKey: s.key.Key(), User: user, Key: signer.Key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
