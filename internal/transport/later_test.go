//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
)

// A script is a connection in memory on which a client has said all it will.
type script struct {
	net.Conn
	late time.Duration // before the first byte
	in   *bytes.Reader
	out  bytes.Buffer
}

func (p *script) Read(b []byte) (int, error) {
	time.Sleep(p.late)
	p.late = 0
	return p.in.Read(b)
}
func (p *script) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *script) CloseWrite() error                { return nil }
func (p *script) SetReadDeadline(time.Time) error  { return nil }
func (p *script) SetWriteDeadline(time.Time) error { return nil }

// A scripted login is one of which the client's side is written already.
type scripted struct {
	serverLogin
	script   script
	verified int // signatures that were checked: each needs the exporter once
}

// newScripted begins a login at a host whose exporter is all zeros.
func newScripted(l *TCPListener, host *auth.Key, stream []byte) *scripted {
	s := &scripted{script: script{in: bytes.NewReader(stream)}}
	s.serverLogin = serverLogin{
		listener: l, conn: &s.script, alpn: alpnPrefix + "ssh-ed25519", host: host,
		remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1),
		exporter: func() ([]byte, error) {
			s.verified++
			return make([]byte, auth.ExporterLength), nil
		},
	}
	return s
}

// scriptedListener lets in whom the authorizer admits, but from no network.
func scriptedListener(t *testing.T, a Authorizer) *TCPListener {
	t.Helper()
	l, err := newTCPListener(&TCPListenOptions{HostKeys: []*auth.HostKey{newHostKey(t)}, Authorizer: a})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ended is a context in which a refusal does not wait.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestAttackRandomFrames: whatever a client sends before it has logged in, in
// whatever order, nobody is let in (CVE-2018-10933, CVE-2025-32433).
func TestAttackRandomFrames(t *testing.T) {
	known := newIdentity(t)
	l := scriptedListener(t, admit("alice", known))
	sequences := 100_000
	switch {
	case os.Getenv(exhaustive) != "":
		sequences = 1_000_000
	case testing.Short():
		sequences = 10_000
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	ctx := ended(t)
	parts := randomParts(t, known)
	asked := 0
	for i := range sequences {
		var stream []byte
		if i%2 == 0 { // half of them come as far as the proof
			stream = append(stream, parts[askPart]...)
		}
		for range 1 + rnd.IntN(4) {
			stream = append(stream, parts[rnd.IntN(len(parts))]...)
		}
		if i%3 == 0 {
			stream[rnd.IntN(len(stream))] ^= byte(1 + rnd.IntN(255))
		}
		login := newScripted(l, known.Key(), stream)
		if user, grant, err := login.run(ctx); err == nil || user != "" || grant != nil || login.verified > 1 {
			t.Fatalf("sequence %d logged in as %q, or had %d signatures checked: %x", i, user, login.verified, stream)
		}
		if said := login.script.out.Len(); said > 0 {
			asked++
			if r, err := proto.ReadAuthResult(&login.script.out); err != nil || r.Code != proto.AuthNeedSig || login.script.out.Len() > 0 {
				t.Fatalf("sequence %d is answered with %+v, %v: %x", i, r, err, stream)
			}
		}
	}
	t.Logf("%d of %d sequences were asked for a proof", asked, sequences)
	login := newScripted(l, known.Key(), provenFrame(t, known, make([]byte, auth.ExporterLength)))
	if user, _, err := login.run(ctx); err != nil || user != "alice" {
		t.Errorf("nor does the right frame log in: %q, %v", user, err)
	}
}

// provenFrame is a login of alice on the scripted connection with that exporter.
func provenFrame(t *testing.T, signer auth.Signer, exporter []byte) []byte {
	t.Helper()
	sig, err := signer.Sign(t.Context(), &auth.Statement{
		Exporter: exporter, ALPN: alpnPrefix + "ssh-ed25519", HostKey: signer.Key(), User: "alice", Key: signer.Key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return frameOf(t, &proto.Auth{
		Mode: proto.AuthKey, User: "alice", Keys: [][]byte{signer.Key().Blob()}, Signature: sig, Ext: make([]byte, 8),
	})
}

// frameOf is a frame of a login, right or not.
func frameOf(t *testing.T, f interface{ Append([]byte) ([]byte, error) }) []byte {
	t.Helper()
	frame, err := f.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// askPart is the one of randomParts that is answered with NEED_SIG.
const askPart = 0

// randomParts are frames of a login and of what comes after it, from either
// side and right by themselves, but without a signature that fits.
func randomParts(t *testing.T, known auth.Signer) (parts [][]byte) {
	t.Helper()
	key := known.Key().Blob()
	for _, a := range []*proto.Auth{
		askPart: {Mode: proto.AuthNegotiate, User: "alice", Keys: [][]byte{key}},
		{Mode: proto.AuthKey, User: "bob", Keys: [][]byte{key}, Signature: []byte("x")},
		{Mode: proto.AuthNegotiate, User: "bob", Keys: [][]byte{[]byte("x"), key}},
		{Mode: proto.AuthPeer, User: "root"},
	} {
		parts = append(parts, frameOf(t, a))
	}
	parts = append(parts, provenFrame(t, known, bytes.Repeat([]byte{1}, auth.ExporterLength)))
	for code := proto.AuthOK; code <= proto.AuthBadVersion; code++ {
		r := &proto.AuthResult{Code: code}
		if code == proto.AuthOK {
			r.Ext = make([]byte, 56)
		}
		parts = append(parts, frameOf(t, r))
	}
	parts = append(parts, sessionParts(t)...)
	return append(parts, []byte{0}, []byte("SSH-2.0-x\r\n"))
}

// sessionParts are the messages of a session, bare and in DATA, and the other
// records of a link (PROTOCOL.md sections 5.4 and 8).
func sessionParts(t *testing.T) (parts [][]byte) {
	t.Helper()
	for _, m := range []*proto.Message{
		{Exec: &proto.Exec{ID: 1, Argv: [][]byte{[]byte("true")}, Status: 3}},
		{Signal: &proto.Signal{ID: 1, Name: "TERM"}},
		{Resize: &proto.Resize{ID: 1, Rows: 24, Cols: 80}},
		{Hello: &proto.Hello{Version: proto.Version, Software: "x", Caps: []string{}, MaxCommands: 1, MaxFrame: proto.MaxFrame}},
		{Started: &proto.Started{PID: 1}},
		{Exited: &proto.Exited{}},
		{Ended: &proto.Ended{How: proto.HowExited, Output: proto.OutputComplete}},
		{Refused: &proto.Refused{ID: 1, Code: "denied"}},
		{Draining: &proto.Draining{}},
		{Bye: &proto.Bye{}},
	} {
		frame, err := proto.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, frame, slices.Concat([]byte{1, 0, 0, byte(len(frame))}, frame))
	}
	return append(parts,
		[]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 0, 0}, // yamux opens a stream
		[]byte{1, 0, 0, 4, 1, 2, 3, 4},             // DATA
		[]byte{2, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}, // ACK
		[]byte{3, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}, // PING
		[]byte{4, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}, // PONG
		[]byte{5, 0, 0, 2, 0, 0},                   // CLOSE
		[]byte{6, 0, 0, 0},                         // PAUSE
	)
}

// TestAttackAfterRefusal: a connection that was refused is dead, whatever comes
// next on it, and when.
func TestAttackAfterRefusal(t *testing.T) {
	known, other := newIdentity(t), newIdentity(t)
	a := admit("alice", known)
	s := serveTCP(t, a)
	blob, others := [][]byte{known.Key().Blob()}, [][]byte{other.Key().Blob()}
	for name, wrong := range map[string]*proto.Auth{
		"nothing wrong": nil,
		"forged":        {Mode: proto.AuthKey, User: "alice", Keys: blob, Signature: []byte("x")},
		"unknown key":   {Mode: proto.AuthKey, User: "alice", Keys: others, Signature: []byte("x")},
		"unknown user":  {Mode: proto.AuthKey, User: "bob", Keys: blob, Signature: []byte("x")},
		"unknown keys":  {Mode: proto.AuthNegotiate, User: "alice", Keys: others},
		"another mode":  {Mode: proto.AuthPeer, User: "alice"},
	} {
		for _, how := range []string{"in one write", "afterwards"} {
			t.Run(name+" "+how, func(t *testing.T) {
				a.asked.Store(0)
				conn := s.shake(t)
				var first []byte
				if wrong != nil {
					first = frameOf(t, wrong)
				}
				right := frameOf(t, &proto.Auth{
					Mode: proto.AuthKey, User: "alice", Keys: blob, Signature: s.signature(t, conn, known, "alice"), Ext: make([]byte, 8),
				})
				var codes []proto.AuthCode
				if how == "afterwards" && wrong != nil {
					_, _ = conn.Write(first)
					codes = append(codes, readVerdict(t, conn).Code)
					_, _ = conn.Write(right)
				} else {
					_, _ = conn.Write(slices.Concat(first, right))
				}
				if wrong == nil { // the control
					r, got := readVerdict(t, conn), s.login(t)
					got.conn.Close()
					if r.Code != proto.AuthOK || got.err != nil {
						t.Errorf("%+v, %v", r, got.err)
					}
					return
				}
				if codes = append(codes, restOfVerdicts(t, conn)...); !slices.Equal(codes, []proto.AuthCode{proto.AuthDenied}) {
					t.Errorf("the verdicts are %v", codes)
				}
				conn.Close()
				if got := s.login(t); !errors.As(got.err, new(*LoginError)) || got.conn.User() != "" {
					t.Errorf("the server says %v", got.err)
				}
				if n := a.asked.Load(); n > 1 {
					t.Errorf("%d keys were looked at", n)
				}
			})
		}
	}
}

// restOfVerdicts are those that come until the server ends the connection,
// which it has to do in peace.
func restOfVerdicts(t *testing.T, r io.Reader) (codes []proto.AuthCode) {
	t.Helper()
	for {
		result, err := proto.ReadAuthResult(r)
		if err != nil {
			if err != io.EOF {
				t.Errorf("after %v: %v", codes, err)
			}
			return codes
		}
		codes = append(codes, result.Code)
	}
}

// TestAttackManyFrames: many frames with many keys in one write are one
// attempt (CVE-2015-5600).
func TestAttackManyFrames(t *testing.T) {
	known := newIdentity(t)
	unknown := make([][]byte, proto.MaxKeys)
	for i := range unknown {
		unknown[i] = newIdentity(t).Key().Blob()
	}
	a := admit("alice", known)
	s := serveTCP(t, a)
	list := func(keys ...[]byte) []byte {
		return frameOf(t, &proto.Auth{Mode: proto.AuthNegotiate, User: "alice", Keys: keys})
	}
	signed := provenFrame(t, known, bytes.Repeat([]byte{1}, auth.ExporterLength))
	for name, c := range map[string]struct {
		first, more     []byte
		asked, verified int
		codes           []proto.AuthCode
	}{
		"unknown keys":   {list(unknown...), list(unknown...), 16, 0, []proto.AuthCode{proto.AuthDenied}},
		"a key known":    {list(slices.Concat(unknown[1:], [][]byte{known.Key().Blob()})...), list(unknown...), 16, 0, []proto.AuthCode{proto.AuthNeedSig, proto.AuthDenied}},
		"signed badly":   {signed, signed, 1, 1, []proto.AuthCode{proto.AuthDenied}},
		"asked, and bad": {list(known.Key().Blob()), signed, 1, 1, []proto.AuthCode{proto.AuthNeedSig, proto.AuthDenied}},
	} {
		t.Run(name, func(t *testing.T) {
			stream := slices.Concat(c.first, bytes.Repeat(c.more, 62))
			a.asked.Store(0)
			conn := s.shake(t)
			_, _ = conn.Write(stream)
			if codes := restOfVerdicts(t, conn); !slices.Equal(codes, c.codes) {
				t.Errorf("the verdicts are %v, want %v", codes, c.codes)
			}
			conn.Close()
			if got := s.login(t); got.err == nil {
				t.Error("the server took it")
			}
			if n := int(a.asked.Load()); n != c.asked {
				t.Errorf("%d keys were looked at, want %d", n, c.asked)
			}
			login := newScripted(s.TCPListener, known.Key(), stream)
			if _, _, err := login.run(ended(t)); err == nil || login.verified != c.verified {
				t.Errorf("%d signatures were checked, want %d; %v", login.verified, c.verified, err)
			}
		})
	}
}
