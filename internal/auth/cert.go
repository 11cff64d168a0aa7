package auth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// CheckHostCert says whether cert is a host certificate for host at this time:
// of type host, signed by its authority with an algorithm that
// [CheckAlgorithm] accepts, within its dates, without critical options (none
// is defined for hosts), and with host among its principals. Host is a name or
// address without a port and compared in lower case, principals as they are; a
// certificate for everybody (without principals) or for a pattern is for
// nobody. nil means all of that.
//
// Whether the authority is trusted or anything revoked is the caller's to know.
func CheckHostCert(cert *Key, host string, now time.Time) error {
	c, err := checkCert(cert, ssh.HostCert, now)
	if err != nil {
		return err
	}
	for name := range c.CriticalOptions {
		return fmt.Errorf("host certificate: unknown critical option %s", Printable(name))
	}
	// Not more than ASCII: other letters have lower cases within it.
	if !slices.Contains(c.ValidPrincipals, lowerASCII(host)) {
		return fmt.Errorf("host certificate: it is not for %s", Printable(host))
	}
	return nil
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// maxPrincipals bounds the principals of a certificate, as ssh does.
const maxPrincipals = 256

// checkCert is what user and host certificates have in common: everything but
// options and the name they are for. The signature is the last of it.
func checkCert(k *Key, kind uint32, now time.Time) (*ssh.Certificate, error) {
	if k == nil {
		return nil, errors.New("no certificate")
	}
	cert, ok := k.pub.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("not a certificate")
	}
	what := map[uint32]string{ssh.UserCert: "user", ssh.HostCert: "host"}[kind]
	if cert.CertType != kind {
		return nil, fmt.Errorf("certificate: its type is %d, not %d (%s)", cert.CertType, kind, what)
	}
	if err := checkFields(k, cert, now); err != nil {
		return nil, fmt.Errorf("%s certificate: %w", what, err)
	}
	return cert, nil
}

func checkFields(k *Key, cert *ssh.Certificate, now time.Time) error {
	err := cmp.Or(CheckAlgorithm(k), checkDates(cert, now), checkPrincipals(cert.ValidPrincipals))
	if err != nil {
		return err
	}
	return checkAuthority(k, cert)
}

// checkDates demands valid_after <= now < valid_before, in seconds since 1970.
func checkDates(cert *ssh.Certificate, now time.Time) error {
	switch t := now.Unix(); {
	case t < 0 || uint64(t) < cert.ValidAfter:
		return fmt.Errorf("not valid before %s; is the clock right?", date(cert.ValidAfter))
	case uint64(t) >= cert.ValidBefore:
		return fmt.Errorf("expired at %s", date(cert.ValidBefore))
	}
	return nil
}

func date(seconds uint64) string {
	const year9999 = 253402300799
	if seconds > year9999 {
		return "the end of time"
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// checkPrincipals refuses lists that could be read in two ways: an empty one
// was for everybody once, and a comma separates names elsewhere.
func checkPrincipals(names []string) error {
	switch {
	case len(names) == 0:
		return errors.New("it has no principals")
	case len(names) > maxPrincipals:
		return fmt.Errorf("it has %d principals, more than %d", len(names), maxPrincipals)
	}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, ",\x00") {
			return fmt.Errorf("principal \"%s\" is not a name", Printable(name))
		}
	}
	return nil
}

// checkAuthority verifies the signature of the authority, which is as for any
// other key but that a security key must have been touched.
func checkAuthority(k *Key, cert *ssh.Certificate) error {
	if cert.Signature == nil || !signsWith(cert.SignatureKey.Type(), cert.Signature.Format) {
		return errors.New("its authority signed with an algorithm that is not accepted")
	}
	// The signature is the last field and a string.
	sig := appendString(nil, ssh.Marshal(cert.Signature))
	signed, ok := bytes.CutSuffix(k.blob, sig)
	if !ok || cert.SignatureKey.Verify(signed, cert.Signature) != nil {
		return errors.New("the signature of its authority does not verify")
	}
	return nil
}
