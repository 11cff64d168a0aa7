package auth

import (
	"crypto/sha512"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// What binds a login to its connection. The exporter is that of TLS 1.3 (RFC
// 8446 section 7.5), without a context.
const (
	ExporterLabel  = "EXPERIMENTAL-rex-client-auth-v1"
	ExporterLength = 32                   // bytes
	Namespace      = "rex-client-auth-v1" // of SSHSIG, and the first field of the message
)

// maxName bounds the ALPN protocol and the user of a statement, in bytes.
const maxName = 255

// A Statement is what a client signs to log in: "over the TLS connection with
// this exporter, to the host with this key, as this user, with this key". The
// server makes its own from what it knows and parses nothing of the client's.
type Statement struct {
	Exporter []byte // ExporterLength bytes of the connection's exporter
	ALPN     string // as negotiated, 1 to 255 bytes
	HostKey  *Key   // the server's; plain also if it has a certificate
	User     string // who logs in, 1 to 255 bytes
	Key      *Key   // the client's, plain or certificate
}

// Signed is the message that is signed: the blob of SSHSIG (OpenSSH's
// PROTOCOL.sshsig) with SHA-512 over all fields. Fields out of their bounds are
// an error.
func (s *Statement) Signed() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	m := appendString(nil, Namespace)
	m = appendString(m, s.Exporter)
	m = appendString(m, s.ALPN)
	m = appendString(m, s.HostKey.Blob())
	m = appendString(m, s.User)
	m = appendString(m, s.Key.Blob())
	return sshsig(Namespace, m), nil
}

func (s *Statement) check() error {
	switch {
	case len(s.Exporter) != ExporterLength:
		return fmt.Errorf("the exporter has %d bytes instead of %d", len(s.Exporter), ExporterLength)
	case s.ALPN == "" || len(s.ALPN) > maxName:
		return errors.New("no protocol was negotiated")
	case s.HostKey == nil || s.HostKey.pub == nil || s.HostKey.IsCert():
		return errors.New("no host key, or a certificate in its place")
	case s.User == "" || len(s.User) > maxName:
		return fmt.Errorf("the user's name has %d bytes instead of 1 to %d", len(s.User), maxName)
	case s.Key == nil || s.Key.pub == nil:
		return errors.New("no key")
	}
	return nil
}

// sshsig is the message that a signature in this namespace is over.
func sshsig(namespace string, message []byte) []byte {
	sum := sha512.Sum512(message)
	b := appendString([]byte("SSHSIG"), namespace)
	b = appendString(b, "") // reserved
	b = appendString(b, "sha512")
	return appendString(b, sum[:])
}

// VerifyOptions are what a signature must satisfy beyond being right.
type VerifyOptions struct {
	// VerificationRequired demands that a FIDO token verified its user, by a
	// PIN for example. No other kind of key can satisfy it.
	VerificationRequired bool
}

// Verify returns nil if sig is a signature by s.Key over s, made by an
// algorithm that [CheckAlgorithm] accepts. A security key must attest that its
// user was present. Everything is checked before the signature, and that at
// most once; sig may be anything.
//
// Whether the key may log in, and a certificate counts, is not looked at.
func (s *Statement) Verify(sig []byte, opts VerifyOptions) error {
	message, err := s.Signed()
	if err != nil {
		return err
	}
	if err := CheckAlgorithm(s.Key); err != nil {
		return err
	}
	plain := s.Key.Plain()
	parsed, err := parseSignature(sig, plain.Type())
	if err != nil {
		return fmt.Errorf("bad signature: %w", err)
	}
	if err := checkFlags(parsed, plain.Type(), opts); err != nil {
		return err
	}
	if plain.pub.Verify(message, parsed) != nil {
		return ErrSignature
	}
	return nil
}

// MaxSignature bounds a signature in the form of [Statement.Verify], in bytes.
const MaxSignature = 4096

// tokenFields is the length of what a FIDO token adds to a signature: its flags
// (u8) and its counter (u32).
const tokenFields = 1 + 4

// parseSignature splits a signature: string algorithm, string blob and, of
// security keys, u8 flags and u32 counter. Its algorithm must be one of a key
// of type keyType.
func parseSignature(sig []byte, keyType string) (*ssh.Signature, error) {
	if len(sig) > MaxSignature {
		return nil, fmt.Errorf("%d bytes exceed %d", len(sig), MaxSignature)
	}
	format, rest, err := cutString(sig)
	if err != nil {
		return nil, err
	}
	if !signsWith(keyType, string(format)) {
		return nil, fmt.Errorf("its algorithm %s is not one for %s keys", Printable(string(format)), keyType)
	}
	blob, rest, err := cutString(rest)
	if err != nil {
		return nil, err
	}
	want := 0
	if onToken(keyType) {
		want = tokenFields
	}
	if len(rest) != want {
		return nil, fmt.Errorf("%d bytes follow it instead of %d", len(rest), want)
	}
	return &ssh.Signature{Format: string(format), Blob: blob, Rest: rest}, nil
}

// Flags of a FIDO token (OpenSSH's PROTOCOL.u2f).
const (
	flagUserPresent  = 0x01
	flagUserVerified = 0x04
)

// checkFlags demands what the user had to do at a token.
func checkFlags(sig *ssh.Signature, keyType string, opts VerifyOptions) error {
	var flags byte
	if onToken(keyType) {
		if flags = sig.Rest[0]; flags&flagUserPresent == 0 {
			return errors.New("the security key does not attest that its user was present")
		}
	}
	if opts.VerificationRequired && flags&flagUserVerified == 0 {
		return errors.New("the signature does not attest that a security key verified its user")
	}
	return nil
}
