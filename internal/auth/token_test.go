package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"testing"

	"golang.org/x/crypto/ssh"
)

// A token is a FIDO token in software (OpenSSH's PROTOCOL.u2f), that says of
// its user what it is told.
type token struct {
	key  *Key
	sign func(digestOf []byte) []byte
}

const application = "ssh:"

func newToken(t testing.TB, keyType string) *token {
	t.Helper()
	b := appendString(nil, keyType)
	if keyType == ssh.KeyAlgoSKED25519 {
		k := newEd25519(t)
		b = appendString(b, k.Public().(ed25519.PublicKey))
		return &token{mustParse(t, appendString(b, application)), func(m []byte) []byte { return ed25519.Sign(k, m) }}
	}
	k := newECDSA(t, elliptic.P256()).(*ecdsa.PrivateKey)
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b = appendString(appendString(b, "nistp256"), point)
	return &token{mustParse(t, appendString(b, application)), func(m []byte) []byte {
		digest := sha256.Sum256(m)
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			panic(err)
		}
		return ssh.Marshal(struct{ R, S *big.Int }{r, s})
	}}
}

// signature is one over message with these flags.
func (k *token) signature(message []byte, flags byte) []byte {
	app, digest := sha256.Sum256([]byte(application)), sha256.Sum256(message)
	tail := []byte{flags, 0, 0, 0, 9}
	m := append(app[:], tail...)
	sig := appendString(nil, k.key.Type())
	sig = appendString(sig, k.sign(append(m, digest[:]...)))
	return append(sig, tail...)
}

// newWeakRSA is a key of 1024 bits, which Go makes no more.
func newWeakRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	path := keygen(t, "-t", "rsa", "-b", "1024", "-m", "PEM")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(fmt.Errorf("a key of 1024 bits: %w", err))
	}
	return k
}
