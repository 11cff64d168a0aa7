package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// The form of the signed message is frozen: another one needs another
// namespace.
func TestSignedVector(t *testing.T) {
	s := statement(t, nil)
	s.Key = s.HostKey
	host := s.HostKey.Blob()
	m := "\x00\x00\x00\x12rex-client-auth-v1" +
		"\x00\x00\x00\x20" + strings.Repeat("\xe5", 32) +
		"\x00\x00\x00\x11rex/1 ssh-ed25519" +
		"\x00\x00\x00\x33" + string(host) +
		"\x00\x00\x00\x05alice" +
		"\x00\x00\x00\x33" + string(host)
	sum := sha512.Sum512([]byte(m))
	want := "SSHSIG\x00\x00\x00\x12rex-client-auth-v1\x00\x00\x00\x00\x00\x00\x00\x06sha512\x00\x00\x00\x40" + string(sum[:])
	got := signed(t, s)
	if string(got) != want || len(got) != 110 {
		t.Errorf("%d bytes %x\nwant %x", len(got), got, want)
	}
	const frozen = "3ae3d92dcc5c264aef78264f55a8b30e8ab506ecfadafb27eed7a5008dfc0e738078f01dea0165eeb512bbba92362f2a61ca739162a69878a99dc0d94e67c8f3"
	if end := hex.EncodeToString(got[len(got)-64:]); end != frozen {
		t.Errorf("the digest is %s, was %s", end, frozen)
	}
}

func TestStatementBounds(t *testing.T) {
	k := newEd25519(t)
	cert := certify(t, k, k, func(*ssh.Certificate) {})
	for name, change := range map[string]func(*Statement){
		"no exporter":    func(s *Statement) { s.Exporter = nil },
		"short exporter": func(s *Statement) { s.Exporter = s.Exporter[1:] },
		"long exporter":  func(s *Statement) { s.Exporter = append(s.Exporter, 0) },
		"no protocol":    func(s *Statement) { s.ALPN = "" },
		"long protocol":  func(s *Statement) { s.ALPN = strings.Repeat("a", 256) },
		"no host":        func(s *Statement) { s.HostKey = nil },
		"zero host":      func(s *Statement) { s.HostKey = new(Key) },
		"cert as host":   func(s *Statement) { s.HostKey = cert },
		"no user":        func(s *Statement) { s.User = "" },
		"long user":      func(s *Statement) { s.User = strings.Repeat("a", 256) },
		"no key":         func(s *Statement) { s.Key = nil },
		"zero key":       func(s *Statement) { s.Key = new(Key) },
	} {
		t.Run(name, func(t *testing.T) {
			s := statement(t, keyOf(t, k))
			sig, err := signMessage(k, signed(t, s))
			if err != nil {
				t.Fatal(err)
			}
			change(s)
			_, err = s.Signed()
			wantError(t, err)
			wantError(t, s.Verify(sig, VerifyOptions{}))
		})
	}
}

func TestVerifyEachType(t *testing.T) {
	for name, k := range software(t) {
		t.Run(name, func(t *testing.T) {
			s := statement(t, keyOf(t, k))
			sig, err := signMessage(k, signed(t, s))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(sig, VerifyOptions{}); err != nil {
				t.Error(err)
			}
			wantError(t, s.Verify(sig, VerifyOptions{VerificationRequired: true}), "verified its user")
			s.User = "bob"
			if err := s.Verify(sig, VerifyOptions{}); err != ErrSignature {
				t.Errorf("as bob: %v", err)
			}
		})
	}
}

// A signature is for one connection, host, user and key.
func TestSignatureBindsEveryField(t *testing.T) {
	k := newEd25519(t)
	other := keyOf(t, newEd25519(t))
	sign := statement(t, keyOf(t, k))
	sig, err := signMessage(k, signed(t, sign))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Statement){
		"exporter":    func(s *Statement) { s.Exporter[31] ^= 1 },
		"protocol":    func(s *Statement) { s.ALPN = "rex/1 ssh-rsa" },
		"host":        func(s *Statement) { s.HostKey = other },
		"user":        func(s *Statement) { s.User = "alicf" },
		"key":         func(s *Statement) { s.Key = other },
		"certificate": func(s *Statement) { s.Key = certify(t, k, k, func(*ssh.Certificate) {}) },
		"split":       func(s *Statement) { s.ALPN, s.User = s.ALPN+"a", s.User[1:] },
	} {
		s := statement(t, keyOf(t, k))
		change(s)
		if err := s.Verify(sig, VerifyOptions{}); err != ErrSignature {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	raw, err := signMessage(k, []byte("rex-client-auth-v1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Verify(raw, VerifyOptions{}); err != ErrSignature {
		t.Errorf("a signature over something else: %v", err)
	}
	elsewhere, err := signMessage(k, sshsig("git", []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Verify(elsewhere, VerifyOptions{}); err != ErrSignature {
		t.Errorf("a signature of another namespace: %v", err)
	}
}

// Every bit and every length of a signature counts.
func TestDamagedSignature(t *testing.T) {
	tok := newToken(t, ssh.KeyAlgoSKED25519)
	plain := newEd25519(t)
	sp, st := statement(t, keyOf(t, plain)), statement(t, tok.key)
	sig, err := signMessage(plain, signed(t, sp))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s   *Statement
		sig []byte
	}{{sp, sig}, {st, tok.signature(signed(t, st), flagUserPresent)}} {
		if err := c.s.Verify(c.sig, VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
		for i := range len(c.sig) * 8 {
			bad := bytes.Clone(c.sig)
			bad[i/8] ^= 1 << (i % 8)
			if c.s.Verify(bad, VerifyOptions{}) == nil {
				t.Errorf("accepted with bit %d flipped", i)
			}
		}
		for n := range c.sig {
			wantError(t, c.s.Verify(c.sig[:n], VerifyOptions{}), "bad signature")
		}
		wantError(t, c.s.Verify(append(bytes.Clone(c.sig), 0), VerifyOptions{}), "bytes follow it")
		wantError(t, c.s.Verify(make([]byte, MaxSignature+1), VerifyOptions{}), "4097 bytes exceed 4096")
	}
}

func TestRSASignatureAlgorithms(t *testing.T) {
	k := newRSA(t)
	s := statement(t, keyOf(t, k))
	message := signed(t, s)
	d1, d256, d512 := sha1.Sum(message), sha256.Sum256(message), sha512.Sum512(message)
	for _, c := range []struct {
		format string
		hash   crypto.Hash
		digest []byte
		ok     bool
	}{
		{"rsa-sha2-512", crypto.SHA512, d512[:], true},
		{"rsa-sha2-256", crypto.SHA256, d256[:], true},
		{"ssh-rsa", crypto.SHA1, d1[:], false},
		{"ssh-rsa", crypto.SHA512, d512[:], false},
		{"rsa-sha2-512", crypto.SHA1, d1[:], false},
		{"rsa-sha2-512", crypto.SHA256, d256[:], false},
		{"rsa-sha2-512-cert-v01@openssh.com", crypto.SHA512, d512[:], false},
		{"ssh-ed25519", crypto.SHA512, d512[:], false},
	} {
		blob, err := k.Sign(rand.Reader, c.digest, c.hash)
		if err != nil {
			t.Fatal(err)
		}
		sig := appendString(appendString(nil, c.format), blob)
		if err := s.Verify(sig, VerifyOptions{}); (err == nil) != c.ok {
			t.Errorf("%s with %v: %v", c.format, c.hash, err)
		}
	}
	right, err := k.Sign(rand.Reader, d512[:], crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	long := appendString(appendString(nil, "rsa-sha2-512"), append([]byte{0}, right...))
	wantError(t, s.Verify(long, VerifyOptions{}))
}

func TestTokenFlags(t *testing.T) {
	for _, name := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		tok := newToken(t, name)
		s := statement(t, tok.key)
		for _, c := range []struct {
			flags             byte
			present, verified bool
		}{{0x00, false, false}, {0x01, true, false}, {0x04, false, false}, {0x05, true, true}} {
			sig := tok.signature(signed(t, s), c.flags)
			if err := s.Verify(sig, VerifyOptions{}); (err == nil) != c.present {
				t.Errorf("%s flags %02x: %v", name, c.flags, err)
			}
			if err := s.Verify(sig, VerifyOptions{VerificationRequired: true}); (err == nil) != c.verified {
				t.Errorf("%s flags %02x, verification required: %v", name, c.flags, err)
			}
		}
		sig := tok.signature(signed(t, s), 0)
		sig[len(sig)-5] = flagUserPresent | flagUserVerified // the flags are signed too
		if err := s.Verify(sig, VerifyOptions{}); err != ErrSignature {
			t.Errorf("%s with forged flags: %v", name, err)
		}
		webauthn := appendString(appendString(nil, "webauthn-"+name), []byte("x"))
		wantError(t, s.Verify(append(webauthn, 1, 0, 0, 0, 0), VerifyOptions{}), "webauthn-", "is not one for")
	}
}

func TestVerifyWithCertificate(t *testing.T) {
	k := newEd25519(t)
	cert := certify(t, k, newEd25519(t), func(*ssh.Certificate) {})
	s := statement(t, cert)
	sig, err := signMessage(k, signed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(sig, VerifyOptions{}); err != nil {
		t.Error(err)
	}
	renamed := appendString(nil, cert.Type())
	_, blob, err := cutString(sig)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Verify(append(renamed, blob...), VerifyOptions{}), "is not one for ssh-ed25519 keys")
}

// Nothing is computed with a key that would not be accepted.
func TestVerifyChecksTheKeyFirst(t *testing.T) {
	for _, k := range []*Key{mustParse(t, dsaBlob()), rsaOf(t, 8200, 3, true), rsaOf(t, 2048, 1, true)} {
		s := statement(t, k)
		err := s.Verify([]byte("\x1b no signature"), VerifyOptions{})
		if want := CheckAlgorithm(k); err == nil || err.Error() != want.Error() {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	s := statement(t, keyOf(t, newEd25519(t)))
	wantError(t, s.Verify(appendString(nil, "\x1b[2J"), VerifyOptions{}), `\x1b[2J`)
}

func TestWithCertificate(t *testing.T) {
	k := newEd25519(t)
	id := &identity{path: "id", key: keyOf(t, k), signer: k, turn: make(chan struct{}, 1)}
	cert := certify(t, k, newEd25519(t), func(*ssh.Certificate) {})
	s, err := WithCertificate(id, cert)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Key().Equal(cert) || s.String() != "id" {
		t.Error(s.Key(), s)
	}
	st := statement(t, cert)
	sig, err := s.Sign(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Verify(sig, VerifyOptions{}); err != nil {
		t.Error(err)
	}
	_, err = s.Sign(t.Context(), statement(t, id.key))
	wantError(t, err, "another key")
	for _, bad := range []*Key{nil, id.key, certify(t, newEd25519(t), k, func(*ssh.Certificate) {})} {
		_, err := WithCertificate(id, bad)
		wantError(t, err)
	}
}

func TestSignerRefusesOtherStatements(t *testing.T) {
	k := newEd25519(t)
	id := &identity{path: "id", key: keyOf(t, k), signer: k, turn: make(chan struct{}, 1)}
	_, err := id.Sign(t.Context(), statement(t, keyOf(t, newEd25519(t))))
	wantError(t, err, "another key")
	_, err = id.Sign(t.Context(), &Statement{})
	wantError(t, err)
	id.turn <- struct{}{} // as if a prompt was open
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := id.Sign(ctx, statement(t, id.key)); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	keys := []*Key{newToken(f, ssh.KeyAlgoSKED25519).key, newToken(f, ssh.KeyAlgoSKECDSA256).key}
	kinds := software(f)
	for _, name := range slices.Sorted(maps.Keys(kinds)) { // the same index in each process
		k := kinds[name]
		keys = append(keys, keyOf(f, k))
		sig, err := signMessage(k, []byte("another message"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(len(keys)-1), sig)
	}
	for i, k := range keys[:2] {
		f.Add(uint8(i), append(appendString(appendString(nil, k.Type()), make([]byte, 64)), 5, 0, 0, 0, 1))
	}
	f.Fuzz(func(t *testing.T, i uint8, sig []byte) {
		s := statement(t, keys[int(i)%len(keys)])
		wantError(t, s.Verify(sig, VerifyOptions{}))
	})
}
