package auth

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// MaxKeyBlob bounds a public key or certificate in the wire format of SSH, in
// bytes.
const MaxKeyBlob = 16384

// A Key is a public key or an OpenSSH certificate for one. It is immutable, and
// its methods may be called concurrently. The zero value is of no use.
type Key struct {
	blob []byte
	pub  ssh.PublicKey
}

// ParseKey parses the wire format (RFC 4253 section 6.6, PROTOCOL.certkeys).
// It takes every type that x/crypto knows; whether one is acceptable is for
// [CheckAlgorithm] to say. The result shares no memory with blob.
func ParseKey(blob []byte) (*Key, error) {
	if len(blob) > MaxKeyBlob {
		return nil, fmt.Errorf("key of %d bytes exceeds %d", len(blob), MaxKeyBlob)
	}
	blob = bytes.Clone(blob) // of which the parsed form has parts
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("bad key: %w", foreignError{err})
	}
	if !bytes.Equal(pub.Marshal(), blob) {
		return nil, errors.New("bad key: not in its canonical form")
	}
	return &Key{blob: blob, pub: pub}, nil
}

// ParseKeyLine parses a line of a .pub file: type, base64 and a comment, without
// options in front. The name of the type must be that of the key. The comment is
// as it was, unescaped.
func ParseKeyLine(line []byte) (k *Key, comment string, err error) {
	name, rest := cutField(line)
	text, rest := cutField(rest)
	blob, err := base64.StdEncoding.Strict().DecodeString(string(text))
	switch {
	case bytes.ContainsAny(bytes.TrimSpace(line), "\r\n"):
		return nil, "", errors.New("bad key: more than one line")
	case len(text) == 0:
		return nil, "", errors.New("bad key: neither a type nor base64")
	case err != nil:
		return nil, "", errors.New("bad key: what follows the type is not base64")
	}
	k, err = ParseKey(blob)
	if err == nil && k.Type() != string(name) {
		err = fmt.Errorf("bad key: it is called %s and is of type %s", Printable(string(name)), k.Type())
	}
	if err != nil {
		return nil, "", err
	}
	return k, string(bytes.TrimSpace(rest)), nil
}

// cutField takes a word off the front of a line.
func cutField(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t\r\n")
	if i := bytes.IndexAny(line, " \t\r\n"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, nil
}

// KeyOf is the key of a [crypto.Signer]: an ed25519, ECDSA or RSA public key,
// which must be complete and not change any more.
func KeyOf(pub crypto.PublicKey) (*Key, error) {
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("bad key: %w", foreignError{err})
	}
	return &Key{blob: p.Marshal(), pub: p}, nil
}

// Blob is the wire format. The caller must not change it.
func (k *Key) Blob() []byte { return k.blob }

// Type is the name of the key's type, such as "ssh-ed25519" or
// "ssh-ed25519-cert-v01@openssh.com".
func (k *Key) Type() string { return k.pub.Type() }

// Equal reports whether both are the same, byte for byte.
func (k *Key) Equal(other *Key) bool { return other != nil && bytes.Equal(k.blob, other.blob) }

// Fingerprint is that of ssh-keygen(1), "SHA256:" and base64; that of a
// certificate is its key's.
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.Plain().pub) }

// String is the key as in a .pub file, without a comment; nothing in it needs
// escaping.
func (k *Key) String() string {
	return string(bytes.TrimSuffix(ssh.MarshalAuthorizedKey(k.pub), []byte("\n")))
}

// IsCert reports whether it is a certificate.
func (k *Key) IsCert() bool {
	_, ok := k.pub.(*ssh.Certificate)
	return ok
}

// Plain is the key that a certificate is for; of a plain key it is the key.
func (k *Key) Plain() *Key {
	if cert, ok := k.pub.(*ssh.Certificate); ok {
		return &Key{blob: cert.Key.Marshal(), pub: cert.Key}
	}
	return k
}

// Authority is the key that signed a certificate, nil for a plain key.
func (k *Key) Authority() *Key {
	if cert, ok := k.pub.(*ssh.Certificate); ok {
		return &Key{blob: cert.SignatureKey.Marshal(), pub: cert.SignatureKey}
	}
	return nil
}
