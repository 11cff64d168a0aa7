package auth

import (
	"time"

	"golang.org/x/crypto/ssh"
)

// CertID is the serial number and the key id that the authority gave to a
// certificate (PROTOCOL.certkeys); 0 and "" for a plain key. The key id is
// arbitrary text: escape it before it is shown.
func (k *Key) CertID() (serial uint64, keyID string) {
	if cert, ok := k.pub.(*ssh.Certificate); ok {
		return cert.Serial, cert.KeyId
	}
	return 0, ""
}

// CheckDates says that a certificate has expired or is not valid yet. Of a plain
// key it is nil.
func (k *Key) CheckDates(now time.Time) error {
	if cert, ok := k.pub.(*ssh.Certificate); ok {
		return checkDates(cert, now)
	}
	return nil
}
