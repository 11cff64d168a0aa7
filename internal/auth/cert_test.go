package auth

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// at is a moment in which the certificates of certify are valid.
func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// sshCert makes a certificate with ssh-keygen -s.
func sshCert(t *testing.T, args ...string) *Key {
	t.Helper()
	ca, path := sameKey(t, "-t", "ed25519", "-C", "ca"), sameKey(t, "-t", "ed25519", "-C", "subject")
	run(t, "", "ssh-keygen", slices.Concat([]string{"-q", "-s", ca, "-I", "an id"}, args, []string{path + ".pub"})...)
	k, err := LoadCertificate(path + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func checkUser(cert *Key, principal string, now time.Time) error {
	_, err := CheckUserCert(cert, UserCertQuery{Principals: []string{principal}, Now: now})
	return err
}

func TestCertificateDates(t *testing.T) {
	never := uint64(math.MaxUint64)
	for _, c := range []struct {
		after, before uint64
		now           int64
		ok            bool
	}{
		{1000, 2000, 999, false},
		{1000, 2000, 1000, true},
		{1000, 2000, 1999, true},
		{1000, 2000, 2000, false},
		{0, never, 0, true},
		{0, never, math.MaxInt64, true},
		{0, never, -1, false}, // a clock before 1970
		{0, 0, 0, false},
		{5, 5, 5, false},
		{2000, 1000, 1500, false},
		{never, never, math.MaxInt64, false},
		{1 << 63, never, 1500, false}, // no sign in the comparison
		{0, 1 << 63, math.MaxInt64, true},
	} {
		user := func(cert *ssh.Certificate) { cert.ValidAfter, cert.ValidBefore = c.after, c.before }
		host := func(cert *ssh.Certificate) { user(cert); cert.CertType = ssh.HostCert }
		k := newEd25519(t)
		if err := checkUser(certify(t, k, k, user), "alice", at(c.now)); (err == nil) != c.ok {
			t.Errorf("user %d <= %d < %d: %v", c.after, c.now, c.before, err)
		}
		if err := CheckHostCert(certify(t, k, k, host), "alice", at(c.now)); (err == nil) != c.ok {
			t.Errorf("host %d <= %d < %d: %v", c.after, c.now, c.before, err)
		}
	}
}

func TestCertificateDatesOfSSHKeygen(t *testing.T) {
	cert := sshCert(t, "-n", "alice", "-V", "20300101000000Z:20300102000000Z")
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := checkUser(cert, "alice", day); err != nil {
		t.Error(err)
	}
	wantError(t, checkUser(cert, "alice", day.Add(-time.Second)), "user certificate: not valid before 2030-01-01T00:00:00Z")
	wantError(t, checkUser(cert, "alice", day.Add(24*time.Hour)), "user certificate: expired at 2030-01-02T00:00:00Z")
	if err := checkUser(sshCert(t, "-n", "alice"), "alice", day.AddDate(500, 0, 0)); err != nil {
		t.Error("for ever:", err)
	}
}

func TestCertificateKinds(t *testing.T) {
	now := time.Now()
	user, host := sshCert(t, "-n", "web1"), sshCert(t, "-h", "-n", "web1")
	if err := checkUser(user, "web1", now); err != nil {
		t.Error(err)
	}
	if err := CheckHostCert(host, "web1", now); err != nil {
		t.Error(err)
	}
	wantError(t, checkUser(host, "web1", now), "type is 2")
	wantError(t, CheckHostCert(user, "web1", now), "type is 1")
	for _, k := range []*Key{nil, new(Key), user.Plain()} {
		wantError(t, checkUser(k, "web1", now), "certificate")
		wantError(t, CheckHostCert(k, "web1", now), "certificate")
	}
	for _, kind := range []uint32{0, 3, math.MaxUint32} {
		k := newEd25519(t)
		odd := certify(t, k, k, func(c *ssh.Certificate) { c.CertType = kind })
		wantError(t, checkUser(odd, "alice", at(1000)), "its type is")
		wantError(t, CheckHostCert(odd, "alice", at(1000)), "its type is")
	}
}

// Vault CVE-2024-7594 (no principals was everybody), CVE-2026-35414 (a comma in
// a name).
func TestCertificatePrincipals(t *testing.T) {
	wantError(t, checkUser(sshCert(t), "root", time.Now()), "no principals")
	wantError(t, CheckHostCert(sshCert(t, "-h"), "web1", time.Now()), "no principals")
	k := newEd25519(t)
	many := make([]string, maxPrincipals+1)
	for i := range many {
		many[i] = "alice"
	}
	for _, c := range []struct {
		principals []string
		err        string
	}{
		{[]string{"alice"}, ""},
		{[]string{"bob", "alice"}, ""},
		{many[:maxPrincipals], ""},
		{many, "257 principals"},
		{nil, "no principals"},
		{[]string{}, "no principals"},
		{[]string{""}, "not a name"},
		{[]string{"alice", ""}, "not a name"},
		{[]string{"alice,bob"}, "not a name"},
		{[]string{"alice", "x,y"}, "not a name"},
		{[]string{"alice\x00"}, `alice\x00" is not a name`},
		{[]string{"Alice"}, "none of its principals"},
		{[]string{"alic"}, "none of its principals"},
		{[]string{"alice "}, "none of its principals"},
		{[]string{"*"}, "none of its principals"},
	} {
		cert := certify(t, k, k, func(cert *ssh.Certificate) { cert.ValidPrincipals = c.principals })
		err := checkUser(cert, "alice", at(1000))
		if c.err != "" {
			wantError(t, err, c.err)
		} else if err != nil {
			t.Errorf("%q: %v", c.principals, err)
		}
	}
	cert := certify(t, k, k, func(cert *ssh.Certificate) { cert.ValidPrincipals = []string{"ops", "dev"} })
	for _, wanted := range [][]string{nil, {""}, {"root"}, {"ops,dev"}} {
		_, err := CheckUserCert(cert, UserCertQuery{Principals: wanted, Now: at(1000)})
		wantError(t, err, "none of its principals")
	}
	if _, err := CheckUserCert(cert, UserCertQuery{Principals: []string{"root", "dev"}, Now: at(1000)}); err != nil {
		t.Error(err)
	}
}

// The same table was tried with ssh 9.2: rex accepts what it accepts but for a
// certificate without principals.
func TestHostPrincipals(t *testing.T) {
	for _, c := range []struct {
		principals, host string
		ok               bool
	}{
		{"web1.corp", "web1.corp", true},
		{"web1.corp", "WEB1.Corp", true},
		{"web1,web1.corp", "web1.corp", true},
		{"192.0.2.1", "192.0.2.1", true},
		{"WEB1.corp", "web1.corp", false},
		{"WEB1.corp", "WEB1.corp", false},
		{"*.corp", "web1.corp", false},
		{"web?.corp", "web1.corp", false},
		{"*", "web1.corp", false},
		{"!web1.corp", "web1.corp", false},
		{"web1.corp", "web1.corp.", false},
		{"web1.corp", "web1", false},
		{"kiosk", "\u212aiosk", false}, // the Kelvin sign
	} {
		cert := sshCert(t, "-h", "-n", c.principals)
		if err := CheckHostCert(cert, c.host, time.Now()); (err == nil) != c.ok {
			t.Errorf("principals %s, host %s: %v", c.principals, c.host, err)
		}
	}
	wantError(t, CheckHostCert(sshCert(t, "-h", "-n", "a"), "\x1b[2J", time.Now()), `it is not for \x1b[2J`)
	critical := sshCert(t, "-h", "-n", "a", "-O", "critical:force-command=x")
	wantError(t, CheckHostCert(critical, "a", time.Now()), "critical option force-command")
	if err := CheckHostCert(sshCert(t, "-h", "-n", "a", "-O", "extension:x@y=z"), "a", time.Now()); err != nil {
		t.Error(err)
	}
}

// Each kind of authority that rex accepts, and its signature in all its forms.
func TestAuthorities(t *testing.T) {
	for name, ca := range software(t) {
		if err := checkUser(certify(t, newEd25519(t), ca, func(*ssh.Certificate) {}), "alice", at(1000)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	subject := keyOf(t, newEd25519(t)).pub
	for _, c := range []struct {
		algorithm string
		ok        bool
	}{{ssh.KeyAlgoRSASHA512, true}, {ssh.KeyAlgoRSASHA256, true}, {ssh.KeyAlgoRSA, false}} {
		cert := certifyWith(t, subject, algorithmSigner(t, newRSA(t), c.algorithm), func(*ssh.Certificate) {})
		err := checkUser(cert, "alice", at(1000))
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.algorithm, err)
		} else if !c.ok {
			wantError(t, err, "an algorithm that is not accepted")
		}
	}
	weak := certify(t, newEd25519(t), newWeakRSA(t), func(*ssh.Certificate) {})
	wantError(t, checkUser(weak, "alice", at(1000)), "authority: ssh-rsa key: 1024 bits")
}

// algorithmSigner signs with one algorithm only.
func algorithmSigner(t *testing.T, k crypto.Signer, algorithm string) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	one, err := ssh.NewSignerWithAlgorithms(s.(ssh.AlgorithmSigner), []string{algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// A certificate of a token: the flags are as for users' signatures.
func TestAuthorityOnToken(t *testing.T) {
	for _, name := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		for _, flags := range []byte{0, flagUserPresent} {
			ca := tokenSigner{newToken(t, name), flags}
			cert := certifyWith(t, keyOf(t, newEd25519(t)).pub, ca, func(*ssh.Certificate) {})
			if err := checkUser(cert, "alice", at(1000)); (err == nil) != (flags == flagUserPresent) {
				t.Errorf("%s with flags %d: %v", name, flags, err)
			}
		}
	}
}

type tokenSigner struct {
	*token
	flags byte
}

func (s tokenSigner) PublicKey() ssh.PublicKey { return s.key.pub }

func (s tokenSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	return parseSignature(s.signature(data, s.flags), s.key.Type())
}

// Teleport CVE-2025-49825: a certificate as the authority of another one.
func TestNestedAuthority(t *testing.T) {
	root, middle, user := newEd25519(t), newEd25519(t), newEd25519(t)
	authority := certify(t, middle, root, func(*ssh.Certificate) {})
	cert := certify(t, user, middle, func(*ssh.Certificate) {})
	forged := bytes.Replace(cert.Blob(), appendString(nil, keyOf(t, middle).Blob()), appendString(nil, authority.Blob()), 1)
	if len(forged) <= len(cert.Blob()) {
		t.Fatal("nothing was replaced")
	}
	_, err := ParseKey(forged)
	wantError(t, err)
	// What the parser refuses is refused without it, too.
	c := *cert.pub.(*ssh.Certificate)
	c.SignatureKey = authority.pub
	wantError(t, checkUser(&Key{blob: forged, pub: &c}, "alice", at(1000)), "authority: ssh-ed25519-cert")
}

// No bit of a certificate can be changed, and none of its parts cut off.
func TestDamagedCertificate(t *testing.T) {
	k := newEd25519(t)
	cert := certify(t, k, newEd25519(t), func(c *ssh.Certificate) {
		c.CriticalOptions = map[string]string{"force-command": "true"}
		c.Extensions = map[string]string{"permit-pty": ""}
	})
	if err := checkUser(cert, "alice", at(1000)); err != nil {
		t.Fatal(err)
	}
	for i := range len(cert.Blob()) * 8 {
		bad := bytes.Clone(cert.Blob())
		bad[i/8] ^= 1 << (i % 8)
		if parsed, err := ParseKey(bad); err == nil && checkUser(parsed, "alice", at(1000)) == nil {
			t.Errorf("accepted with bit %d flipped", i)
		}
	}
	unsigned := *cert.pub.(*ssh.Certificate)
	unsigned.Signature = nil
	wantError(t, checkUser(&Key{blob: unsigned.Marshal(), pub: &unsigned}, "alice", at(1000)), "algorithm")
	swapped := *cert.pub.(*ssh.Certificate)
	swapped.SignatureKey = keyOf(t, k).pub // names an authority that did not sign
	wantError(t, checkUser(mustParse(t, swapped.Marshal()), "alice", at(1000)), "does not verify")
}

// Options in the wrong order or twice: the first could be checked and the
// second used.
func TestDuplicateOptions(t *testing.T) {
	k := newEd25519(t)
	cert := certify(t, k, k, func(c *ssh.Certificate) {
		c.CriticalOptions = map[string]string{"force-command": "aaaa", "source-address": "::1"}
	})
	option := func(name, value string) []byte {
		return appendString(appendString(nil, name), appendString(nil, value))
	}
	one, two := option("force-command", "aaaa"), option("source-address", "::1")
	for name, list := range map[string][]byte{
		"twice":   slices.Concat(one, one),
		"order":   slices.Concat(two, one),
		"missing": slices.Concat(one, two[:len(two)-1]),
	} {
		bad := bytes.Replace(cert.Blob(), appendString(nil, slices.Concat(one, two)), appendString(nil, list), 1)
		if bytes.Equal(bad, cert.Blob()) {
			t.Fatal("nothing was replaced")
		}
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

func FuzzCheckCert(f *testing.F) {
	k := newEd25519(f)
	add := func(list string, critical, extension, value string) {
		f.Add(list, critical, extension, value, uint8(1))
	}
	add("alice,bob", "force-command", "permit-pty", "x")
	add("alice", "source-address", "permit-user-rc", "10.0.0.0/8,::1")
	add("", "verify-required", "x@y", "")
	f.Fuzz(func(t *testing.T, list, critical, extension, value string, kind uint8) {
		signer, err := ssh.NewSignerFromSigner(k)
		if err != nil {
			t.Fatal(err)
		}
		c := &ssh.Certificate{
			Key: signer.PublicKey(), CertType: uint32(kind % 4), ValidPrincipals: strings.Split(list, "|"),
			ValidBefore: 2000, ValidAfter: 1000,
			Permissions: ssh.Permissions{
				CriticalOptions: map[string]string{critical: value}, Extensions: map[string]string{extension: ""},
			},
		}
		if err := c.SignCert(rand.Reader, signer); err != nil {
			t.Fatal(err)
		}
		cert, err := ParseKey(c.Marshal())
		if err != nil {
			return
		}
		grant, err := CheckUserCert(cert, UserCertQuery{Principals: []string{"alice"}, Now: at(1000)})
		switch {
		case err != nil:
			wantError(t, err)
		case kind%4 != ssh.UserCert || critical != "force-command" && critical != "verify-required":
			t.Fatalf("granted %+v", grant)
		}
		if CheckHostCert(cert, "alice", at(1000)) == nil {
			t.Fatal("a host with a critical option")
		}
	})
}
