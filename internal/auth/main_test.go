package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is the path of a program of OpenSSH.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatal(err)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// run runs a program of OpenSSH, which must succeed.
func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	out, err := try(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func try(t testing.TB, stdin, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// keygen makes a private key file with ssh-keygen, and path.pub. RSA takes
// seconds: of each kind there is one key in a process.
func keygen(t testing.TB, args ...string) string {
	t.Helper()
	if slices.Contains(args, "rsa") {
		return sameKey(t, args...)
	}
	path := filepath.Join(t.TempDir(), "id")
	run(t, "", "ssh-keygen", append([]string{"-q", "-N", "", "-a", "1", "-C", "a comment", "-f", path}, args...)...)
	return path
}

// sameKey is keygen, but the same arguments give the same key.
func sameKey(t testing.TB, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	if made, ok := keyFiles.Load(strings.Join(args, " ")); ok {
		write(t, path, made.([2]string)[0], 0o600)
		write(t, path+".pub", made.([2]string)[1], 0o644)
		return path
	}
	run(t, "", "ssh-keygen", append([]string{"-q", "-N", "", "-a", "1", "-C", "a comment", "-f", path}, args...)...)
	keyFiles.Store(strings.Join(args, " "), [2]string{read(t, path), read(t, path+".pub")})
	return path
}

var keyFiles sync.Map // of arguments: private and public file

// private keys in memory, one for each process; RSA takes a while.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newRSA(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newECDSA(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// software is one signer of each type that can be made without a token.
func software(t testing.TB) map[string]crypto.Signer {
	return map[string]crypto.Signer{
		"ssh-ed25519":         newEd25519(t),
		"ecdsa-sha2-nistp256": newECDSA(t, elliptic.P256()),
		"ecdsa-sha2-nistp384": newECDSA(t, elliptic.P384()),
		"ecdsa-sha2-nistp521": newECDSA(t, elliptic.P521()),
		"ssh-rsa":             newRSA(t),
	}
}

func keyOf(t testing.TB, k crypto.Signer) *Key {
	t.Helper()
	key, err := KeyOf(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustParse(t testing.TB, blob []byte) *Key {
	t.Helper()
	k, err := ParseKey(blob)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// statement is one about key.
func statement(t testing.TB, key *Key) *Statement {
	host := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	return &Statement{
		Exporter: bytes.Repeat([]byte{0xe5}, ExporterLength),
		ALPN:     "rex/1 ssh-ed25519",
		HostKey:  keyOf(t, host),
		User:     "alice",
		Key:      key,
	}
}

func signed(t testing.TB, s *Statement) []byte {
	t.Helper()
	b, err := s.Signed()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dsaBlob is a DSA key as ssh parses it: the form is right, the numbers mean
// nothing.
func dsaBlob() []byte {
	number := func(bits int) []byte {
		b := bytes.Repeat([]byte{0xff}, bits/8+1)
		b[0] = 0
		return b
	}
	b := appendString(nil, "ssh-dss")
	b = appendString(b, number(1024))
	b = appendString(b, number(160))
	b = appendString(b, []byte{2})
	return appendString(b, []byte{3})
}

// certify makes a certificate by hand; change may break it before it is signed.
func certify(t testing.TB, subject, authority crypto.Signer, change func(*ssh.Certificate)) *Key {
	t.Helper()
	ca, err := ssh.NewSignerFromSigner(authority)
	if err != nil {
		t.Fatal(err)
	}
	return certifyWith(t, keyOf(t, subject).pub, ca, change)
}

func certifyWith(t testing.TB, subject ssh.PublicKey, ca ssh.Signer, change func(*ssh.Certificate)) *Key {
	t.Helper()
	cert := &ssh.Certificate{
		Key: subject, CertType: ssh.UserCert, KeyId: "id", ValidPrincipals: []string{"alice"},
		ValidAfter: 1000, ValidBefore: 2000,
	}
	change(cert)
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return mustParse(t, cert.Marshal())
}

// wantError fails unless err says all of these words and is one printable line.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
		t.Errorf("error %q is not printable", err)
	}
}

// nobody answers no prompt.
func nobody(context.Context, string) ([]byte, error) { return nil, errors.New("nobody is there") }
