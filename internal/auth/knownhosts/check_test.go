package knownhosts

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// set reads lines as a file "f".
func set(lines ...string) *Set {
	s := &Set{}
	s.parse("f", []byte(strings.Join(lines, "\n")))
	return s
}

// certify makes a host certificate for a new key.
func certify(t testing.TB, host string) (key, cert, ca *auth.Key) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	key = newKey(t)
	pub, err := ssh.ParsePublicKey(key.Blob())
	if err != nil {
		t.Fatal(err)
	}
	c := &ssh.Certificate{Key: pub, CertType: ssh.HostCert, ValidPrincipals: []string{host}, ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	if cert, err = auth.ParseKey(c.Marshal()); err != nil {
		t.Fatal(err)
	}
	if ca, err = auth.ParseKey(signer.PublicKey().Marshal()); err != nil {
		t.Fatal(err)
	}
	return key, cert, ca
}

func TestResult(t *testing.T) {
	ed, rsa := newKey(t), keys()["ssh-rsa"]
	s := set("# comment", "[h]:7390 "+rsa.String(), "[h]:7390 "+ed.String(), "h "+ed.String(), "@revoked h "+keys()["ecdsa-sha2-nistp256"].String())
	entry := func(k *auth.Key, line int) Entry { return Entry{k.Type(), k.Fingerprint(), "f", line} }
	for _, c := range []struct {
		name string
		host string
		port int
		key  *auth.Key
		want Result
	}{
		{"trusted, another key known", "h", 7390, ed, Result{Verdict: Trusted, File: "f", Line: 3, Known: []Entry{entry(rsa, 2)}}},
		{"changed, line of its type", "h", 7390, newKey(t), Result{Verdict: Changed, File: "f", Line: 3, Known: []Entry{entry(rsa, 2), entry(ed, 3)}}},
		{"changed, other types", "h", 7390, keys()["ecdsa-sha2-nistp384"], Result{Verdict: Changed, File: "f", Line: 2, Known: []Entry{entry(rsa, 2), entry(ed, 3)}}},
		{"fallback", "H", 1, ed, Result{Verdict: Trusted, File: "f", Line: 4, Fallback: true}},
		{"differs", "h", 1, rsa, Result{Verdict: Differs, File: "f", Line: 4, Fallback: true, Known: []Entry{entry(ed, 4)}}},
		{"port 22", "h", 22, rsa, Result{Verdict: Changed, File: "f", Line: 4, Known: []Entry{entry(ed, 4)}}},
		{"revoked", "h", 7390, keys()["ecdsa-sha2-nistp256"], Result{Verdict: Revoked, File: "f", Line: 5, Fallback: true}},
		{"unknown", "i", 7390, ed, Result{Verdict: Unknown}},
		{"no key", "h", 7390, nil, Result{}},
	} {
		got := s.Check(Query{Host: c.host, Port: c.port, Key: c.key})
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if r := new(Set).Check(Query{Host: "h", Port: 22, Key: ed}); r.Verdict != Unknown {
		t.Errorf("empty set: %v", r.Verdict)
	}
}

func TestCertificate(t *testing.T) {
	key, cert, ca := certify(t, "h")
	other, otherCert, _ := certify(t, "h")
	now := time.Now()
	trust := "@cert-authority * " + ca.String()
	for _, c := range []struct {
		name    string
		set     *Set
		q       Query
		want    Verdict
		problem bool
	}{
		{"authority", set(trust), Query{Host: "H", Key: key, Cert: cert}, TrustedByCA, false},
		{"alias", set(trust), Query{Host: "x", Alias: "h", Key: key, Cert: cert}, TrustedByCA, false},
		{"other host", set(trust), Query{Host: "i", Key: key, Cert: cert}, Unknown, true},
		{"no certificate", set(trust), Query{Host: "h", Key: key}, Unknown, false},
		{"other authority", set(trust), Query{Host: "h", Key: other, Cert: otherCert}, Unknown, true},
		{"key of another", set(trust, "* "+other.String()), Query{Host: "h", Key: other, Cert: cert}, Trusted, true},
		{"plain key as certificate", set(trust, "* "+key.String()), Query{Host: "h", Key: key, Cert: key}, Trusted, true},
		{"certificate as key", set(trust), Query{Host: "h", Key: cert}, 0, false},
		{"authority as host", set(trust), Query{Host: "h", Key: ca}, Unknown, false},
		{"unmarked authority", set("* " + ca.String()), Query{Host: "h", Key: key, Cert: cert}, Changed, true},
		{"unmarked certificate", set("* " + cert.String()), Query{Host: "h", Key: key, Cert: cert}, Changed, true},
		{"authority of the plain host", set("@cert-authority h " + ca.String()), Query{Host: "h", Key: key, Cert: cert}, TrustedByCA, false},
		{"authority beside a pin", set("@cert-authority h "+ca.String(), "[h]:7390 "+other.String()), Query{Host: "h", Key: key, Cert: cert}, Changed, true},
		{"revoked authority", set(trust, "* "+key.String(), "@revoked h "+ca.String()), Query{Host: "h", Key: key, Cert: cert}, Revoked, false},
		{"revoked certificate line", set(trust, "@revoked * "+cert.String()), Query{Host: "h", Key: key, Cert: cert}, Revoked, false},
		{"revoked key of a wrong certificate", set("* "+other.String(), "@revoked * "+key.String()), Query{Host: "h", Key: other, Cert: cert}, Revoked, false},
	} {
		c.q.Port, c.q.Now = 7390, now
		if r := c.set.Check(c.q); r.Verdict != c.want || (r.CertProblem != nil) != c.problem {
			t.Errorf("%s: %v, %v, want %v", c.name, r.Verdict, r.CertProblem, c.want)
		}
	}
}

func TestTypes(t *testing.T) {
	var lines []string
	for _, k := range keys() {
		lines = append(lines, "[h]:7390,all "+k.String(), "@cert-authority ca "+k.String())
	}
	ecdsa := keys()["ecdsa-sha2-nistp384"].String()
	s := set(append(lines, "h "+ecdsa, "@cert-authority [h]:1 "+ecdsa, "h ssh-rsa junk", "@revoked h "+keys()["ssh-rsa"].String())...)
	for _, c := range []struct {
		host  string
		port  int
		alias string
		want  []string
	}{
		{"H", 7390, "", preference[:]},
		{"all", 22, "", preference[:]},
		{"x", 7390, "All", preference[:]},
		{"h", 22, "", []string{"ecdsa-sha2-nistp384"}},
		{"h", 1, "", []string{"ecdsa-sha2-nistp384"}},
		{"h", 7391, "", []string{"ecdsa-sha2-nistp384"}},
		{"ca", 22, "", nil},
		{"none", 7390, "", nil},
	} {
		if got := s.Types(c.host, c.port, c.alias); !slices.Equal(got, c.want) {
			t.Errorf("%s, %d, %q: %v, want %v", c.host, c.port, c.alias, got, c.want)
		}
	}
}

func TestVerdictString(t *testing.T) {
	for v, want := range map[Verdict]string{
		0: "none", Unknown: "unknown", Trusted: "trusted", TrustedByCA: "trusted by ca",
		Changed: "changed", Differs: "differs", Revoked: "revoked", 9: "Verdict(9)",
	} {
		if got := v.String(); got != want {
			t.Errorf("%d is %q, want %q", v, got, want)
		}
	}
}
