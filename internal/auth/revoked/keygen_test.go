package revoked

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// A pair is a key that can sign certificates.
type pair struct {
	signer ssh.Signer
	key    *auth.Key
}

func newPair(t testing.TB) pair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return pair{signer, parseKeyOf(t, signer.PublicKey())}
}

func parseKeyOf(t testing.TB, pub ssh.PublicKey) *auth.Key {
	t.Helper()
	key, err := auth.ParseKey(pub.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify makes a certificate for p.
func (p pair) certify(t testing.TB, ca pair, serial uint64, id string) *auth.Key {
	t.Helper()
	cert := &ssh.Certificate{
		Key: p.signer.PublicKey(), Serial: serial, CertType: ssh.UserCert, KeyId: id,
		ValidPrincipals: []string{"u"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, ca.signer); err != nil {
		t.Fatal(err)
	}
	return parseKeyOf(t, cert)
}

// A keygen runs ssh-keygen in a directory of its own.
type keygen struct {
	path, dir string
}

func newKeygen(t *testing.T) keygen {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return keygen{path, t.TempDir()}
}

func (k keygen) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (k keygen) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), k.path, args...)
	cmd.Dir = k.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// revoke writes the list "krl", or adds to it, from lines of a specification
// (ssh-keygen(1), KEY REVOCATION LISTS) for the certificates of ca.
func (k keygen) revoke(t *testing.T, update bool, ca string, spec []string) {
	t.Helper()
	args := []string{"-k", "-q", "-f", "krl", "-s", ca, k.write(t, "spec", strings.Join(spec, "\n")+"\n")}
	if update {
		args = append([]string{"-u"}, args...)
	}
	if out, err := k.run(t, args...); err != nil {
		t.Fatalf("ssh-keygen %q: %v: %s%q", args, err, out, spec)
	}
}

// query asks which keys "krl" revokes.
func (k keygen) query(t *testing.T, keys []*auth.Key) (revoked []bool) {
	t.Helper()
	args := []string{"-Q", "-f", "krl"}
	for i, key := range keys {
		args = append(args, k.write(t, fmt.Sprint("key", i), key.String()+" c\n"))
	}
	out, err := k.run(t, args...)
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("ssh-keygen -Q: %v: %s", err, out)
	}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		switch name := fmt.Sprintf("key%d (c): ", i); line {
		case name + "ok":
			revoked = append(revoked, false)
		case name + "REVOKED":
			revoked = append(revoked, true)
		default:
			t.Fatalf("ssh-keygen -Q: %q", line)
		}
	}
	if len(revoked) != len(keys) {
		t.Fatalf("ssh-keygen -Q: %s", out)
	}
	return revoked
}

// A generator makes specifications that are likely to hit.
type generator struct {
	*mrand.Rand
	ids []string
}

// serial is near one of a few numbers, the ends of the range among them.
func (g generator) serial() uint64 {
	near := []uint64{1, 200, 65536, 1 << 40, math.MaxUint64 - 300}[g.IntN(5)]
	if g.IntN(12) == 0 {
		return math.MaxUint64
	}
	return near + g.Uint64N(300)
}

// certs are lines that revoke certificates: dense numbers become bitmaps.
func (g generator) certs() (spec []string) {
	for range 1 + g.IntN(4) {
		switch lo := g.serial(); g.IntN(4) {
		case 0:
			spec = append(spec, fmt.Sprintf("serial: %d", lo))
		case 1:
			lo = min(lo, math.MaxUint64-1)
			spec = append(spec, fmt.Sprintf("serial: %d-%d", lo, lo+1+g.Uint64N(min(100, math.MaxUint64-lo))))
		case 2:
			for i := uint64(0); i < 300 && lo+i >= lo; i += 1 + g.Uint64N(3) {
				spec = append(spec, fmt.Sprintf("serial: %d", lo+i))
			}
		case 3:
			spec = append(spec, "id: "+g.ids[g.IntN(len(g.ids))])
		}
	}
	return spec
}

// keys are lines that revoke a key in one of four ways, or none.
func (g generator) keys(keys []pair) []string {
	if g.IntN(3) == 0 {
		return nil
	}
	key := keys[g.IntN(len(keys))].key
	switch g.IntN(4) {
	case 0:
		return []string{"sha1: " + key.String()}
	case 1:
		return []string{"sha256: " + key.String()}
	case 2:
		return []string{"hash: " + key.Fingerprint()}
	}
	return []string{"key: " + key.String()}
}

func TestAgainstKeygen(t *testing.T) {
	k := newKeygen(t)
	cas := []pair{newPair(t), newPair(t), newPair(t)}
	keys := []pair{newPair(t), newPair(t), newPair(t), newPair(t)}
	for i, ca := range cas {
		k.write(t, fmt.Sprintf("ca%d.pub", i), ca.key.String()+"\n")
	}
	rounds, decisions, hits, bitmaps := 16, 0, 0, 0
	for seed := range rounds {
		g := generator{mrand.New(mrand.NewPCG(uint64(seed), 3)), []string{"alice", "Alice", "bob laptop", "ünï", "x"}}
		k.revoke(t, false, "ca0.pub", append(g.certs(), g.keys(append(keys, cas...))...))
		k.revoke(t, true, []string{"ca1.pub", "none"}[g.IntN(2)], append(g.certs(), g.keys(keys)...))
		l, err := Load(filepath.Join(k.dir, "krl"))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, c := range l.certs {
			bitmaps += len(c.bitmaps)
		}
		queries := []*auth.Key{keys[0].key, keys[1].key, cas[0].key}
		for range 30 {
			serial := g.serial()
			if g.IntN(8) == 0 {
				serial = 0
			}
			id := append(g.ids, "carol", "dave", "", "alice ")[g.IntN(len(g.ids)+4)]
			queries = append(queries, keys[g.IntN(len(keys))].certify(t, cas[g.IntN(len(cas))], serial, id))
		}
		for i, want := range k.query(t, queries) {
			err := l.Check(queries[i])
			if (err != nil) != want {
				serial, id := queries[i].CertID()
				t.Errorf("seed %d: %s, serial %d, id %q: %v, ssh-keygen says %v", seed, queries[i].Type(), serial, id, err, want)
			}
			if decisions++; want {
				hits++
			}
		}
	}
	t.Logf("%d lists with %d bitmaps, %d decisions, %d revoked", rounds, bitmaps, decisions, hits)
	if bitmaps == 0 || hits < decisions/5 || hits > decisions*4/5 {
		t.Error("the generator is too one-sided to say anything")
	}
}
