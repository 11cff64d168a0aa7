package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// errEncrypted: the private key needs a passphrase, and none was given.
var errEncrypted = errors.New("it has a passphrase")

// parsePrivate reads a private key in one of the formats of ssh-keygen(1); with
// a nil passphrase only one that has none. The signer is for a key that
// CheckAlgorithm accepts, and its public key that of the file. Errors are
// errEncrypted, ErrPassphrase or reasons to give up.
func parsePrivate(file, passphrase []byte) (crypto.Signer, *Key, error) {
	raw, err := parseRaw(file, passphrase)
	if err != nil {
		return nil, nil, err
	}
	signer, err := normal(raw)
	if err != nil {
		return nil, nil, err
	}
	key, err := KeyOf(signer.Public())
	if err != nil {
		return nil, nil, err
	}
	if claim := clearKey(file); claim != nil && !claim.Equal(key) {
		return nil, nil, errors.New("its public and private parts are of two keys")
	}
	return signer, key, CheckAlgorithm(key)
}

func parseRaw(file, passphrase []byte) (any, error) {
	if err := checkFormat(file); err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(file); block.Type == encryptedPKCS8 {
		if passphrase == nil {
			return nil, errEncrypted
		}
		return parsePKCS8(block.Bytes, passphrase)
	}
	var raw any
	var err error
	if passphrase == nil {
		raw, err = ssh.ParseRawPrivateKey(file)
	} else {
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(file, passphrase)
	}
	var missing *ssh.PassphraseMissingError
	var noise asn1.SyntaxError // PEM's encryption has no checksum
	switch {
	case errors.As(err, &missing):
		return nil, errEncrypted
	case errors.Is(err, x509.IncorrectPasswordError), passphrase != nil && errors.As(err, &noise):
		return nil, ErrPassphrase
	case err != nil:
		return nil, foreignError{err}
	}
	return raw, nil
}

// checkFormat finds better words for files that x/crypto does not read.
func checkFormat(file []byte) error {
	block, _ := pem.Decode(file)
	switch {
	case block == nil && startsWithKey(file):
		return errors.New("this is a public key and not a private one")
	case block == nil:
		return errors.New("this is not a private key")
	}
	if k := clearKey(file); k != nil && onToken(k.Type()) {
		return errors.New("security keys sign through an agent only (ssh-add loads it)")
	}
	return nil
}

func startsWithKey(file []byte) bool {
	line, _, _ := bytes.Cut(file, []byte("\n"))
	_, _, err := ParseKeyLine(line)
	return err == nil
}

// normal is the signer of what x/crypto returned, in the types that
// crypto/tls knows.
func normal(raw any) (crypto.Signer, error) {
	switch k := raw.(type) {
	case *ed25519.PrivateKey:
		return fromSeed(*k)
	case ed25519.PrivateKey:
		return fromSeed(k)
	case *ecdsa.PrivateKey:
		return k, nil
	case *rsa.PrivateKey:
		return k, nil
	}
	return nil, errors.New("the type of the key is not supported")
}

// fromSeed distrusts the public half that a file has inside of the private
// key: a signature made with a wrong one gives the private key away.
func fromSeed(k ed25519.PrivateKey) (crypto.Signer, error) {
	if len(k) != ed25519.PrivateKeySize {
		return nil, errors.New("an ed25519 key of the wrong length")
	}
	whole := ed25519.NewKeyFromSeed(k.Seed())
	if !whole.Equal(k) {
		return nil, errors.New("its public and private parts are of two keys")
	}
	return whole, nil
}

// clearKey is the public key that a private key file in OpenSSH's format
// (PROTOCOL.key) has in the clear; nil if there is none.
func clearKey(file []byte) *Key {
	block, _ := pem.Decode(file)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil
	}
	const magic = "openssh-key-v1\x00"
	rest, ok := strings.CutPrefix(string(block.Bytes), magic)
	if !ok {
		return nil
	}
	var w struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public                  []byte
		Rest                    []byte `ssh:"rest"`
	}
	if ssh.Unmarshal([]byte(rest), &w) != nil {
		return nil
	}
	k, err := ParseKey(w.Public)
	if err != nil {
		return nil
	}
	return k
}
