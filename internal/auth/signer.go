package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/ssh"
)

// A Signer is a client's private key, wherever it is kept. Its methods may be
// called concurrently.
type Signer interface {
	// Key is the public key or certificate to offer.
	Key() *Key
	// Sign makes a signature over s in the form that [Statement.Verify]
	// takes. s.Key must be Key() or a certificate for it. It may ask the user
	// for something and wait, until ctx ends.
	Sign(ctx context.Context, s *Statement) ([]byte, error)
	// String says where the key is, for the user to recognise it:
	// "/home/alice/.ssh/id_ed25519", "agent: alice@laptop SHA256:...". It is escaped.
	String() string
}

// WithCertificate is s offering cert in place of the key it is for.
func WithCertificate(s Signer, cert *Key) (Signer, error) {
	switch {
	case cert == nil || !cert.IsCert():
		return nil, errors.New("not a certificate")
	case !cert.Plain().Equal(s.Key()):
		return nil, errors.New("the certificate is for another key")
	}
	return certified{s, cert}, nil
}

type certified struct {
	Signer
	cert *Key
}

func (c certified) Key() *Key { return c.cert }

func (c certified) Sign(ctx context.Context, s *Statement) ([]byte, error) {
	if !c.cert.Equal(s.Key) {
		return nil, errOtherKey
	}
	return c.Signer.Sign(ctx, s)
}

var errOtherKey = errors.New("the statement names another key than the signer's")

// messageFor is what the holder of key signs for s.
func messageFor(key *Key, s *Statement) ([]byte, error) {
	message, err := s.Signed()
	if err != nil {
		return nil, err
	}
	if !key.Equal(s.Key) && !key.Equal(s.Key.Plain()) {
		return nil, errOtherKey
	}
	return message, nil
}

// signMessage signs with a key in memory: RSA with SHA-512, all others as their
// type says.
func signMessage(key crypto.Signer, message []byte) ([]byte, error) {
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, foreignError{err}
	}
	algorithm := signer.PublicKey().Type()
	if algorithm == ssh.KeyAlgoRSA {
		algorithm = ssh.KeyAlgoRSASHA512
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the key cannot choose its algorithm")
	}
	sig, err := able.SignWithAlgorithm(rand.Reader, message, algorithm)
	if err != nil {
		return nil, foreignError{err}
	}
	return appendString(appendString(nil, sig.Format), sig.Blob), nil
}
