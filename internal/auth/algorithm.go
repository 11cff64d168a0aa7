package auth

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/ssh"
)

// Bounds of an RSA modulus, in bits: below the lower one it can be factored
// some day soon, above the upper one a verification costs a stranger's server
// tens of milliseconds.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// CheckAlgorithm says whether rex accepts keys like k at all: ssh-ed25519,
// ecdsa-sha2-nistp256, -nistp384 and -nistp521, ssh-rsa of 2048 to 8192 bits,
// sk-ssh-ed25519@openssh.com and sk-ecdsa-sha2-nistp256@openssh.com. Of a
// certificate both the key it is for and its authority must be such keys. The
// error names the type and the reason.
//
// It is cheap, and comes before any computation with a key of somebody else.
func CheckAlgorithm(k *Key) error {
	if k == nil || k.pub == nil {
		return errors.New("no key")
	}
	cert, ok := k.pub.(*ssh.Certificate)
	if !ok {
		return checkPlain(k.pub)
	}
	if err := checkPlain(cert.SignatureKey); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	return checkPlain(cert.Key)
}

// checkPlain is CheckAlgorithm for what must not be a certificate: the
// authority of one must not be one again.
func checkPlain(pub ssh.PublicKey) error {
	switch name := pub.Type(); name {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if err := checkRSA(pub); err != nil {
			return fmt.Errorf("%s key: %w", name, err)
		}
		return nil
	case "ssh-dss":
		return fmt.Errorf("%s key: DSA is broken", name)
	default:
		return fmt.Errorf("%s key: the type is not supported", Printable(name))
	}
}

func checkRSA(pub ssh.PublicKey) error {
	holder, ok := pub.(ssh.CryptoPublicKey)
	if !ok {
		return errors.New("not understood")
	}
	k, ok := holder.CryptoPublicKey().(*rsa.PublicKey)
	if !ok || k.N == nil {
		return errors.New("not understood")
	}
	switch bits := k.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("%d bits are too few, at least %d are needed", bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("%d bits are too many, at most %d are accepted", bits, maxRSABits)
	case k.N.Sign() < 0 || k.N.Bit(0) == 0:
		return errors.New("the modulus is not a product of odd primes")
	}
	// With 1 anybody can sign, an even exponent has no inverse, and a long one
	// makes verifying slow. crypto/rsa takes no more than 31 bits either.
	if k.E < 3 || k.E%2 == 0 || k.E > math.MaxInt32 {
		return fmt.Errorf("the exponent %d is not odd and between 3 and 2^31", k.E)
	}
	return nil
}

// signsWith reports whether format may be the algorithm of a signature made by
// a key of type keyType. SHA-1 ("ssh-rsa") may not, nor the name of a
// certificate's type, nor the WebAuthn forms of security keys.
func signsWith(keyType, format string) bool {
	if keyType == ssh.KeyAlgoRSA {
		return format == ssh.KeyAlgoRSASHA512 || format == ssh.KeyAlgoRSASHA256
	}
	return format == keyType
}

// onToken reports whether keys of this type live on a FIDO token, which adds
// flags to its signatures.
func onToken(keyType string) bool {
	return keyType == ssh.KeyAlgoSKED25519 || keyType == ssh.KeyAlgoSKECDSA256
}
