package revoked

import "errors"

// A RevokedError says that a key is revoked, and by what.
type RevokedError struct {
	Fingerprint string // of the key, or of the key that the certificate is for
	Reason      string // what matched, such as "its serial number 7 is listed"; printable
}

func (e *RevokedError) Error() string {
	return "key " + e.Fingerprint + " is revoked: " + e.Reason
}

// What is wrong with a list. None holds anything of it.
var (
	errShort     = errors.New("truncated")
	errTrailing  = errors.New("trailing bytes")
	errHash      = errors.New("fingerprint of a wrong length")
	errCritical  = errors.New("unknown critical extension")
	errKeyID     = errors.New("key id with a NUL")
	errKey       = errors.New("bad key or unknown type")
	errType      = errors.New("key is not of the type that stands before it")
	errAuthority = errors.New("authority is a certificate")
	errSerial    = errors.New("serial number 0")
	errRange     = errors.New("range of serial numbers ends before it begins")
	errBitmap    = errors.New("bad bitmap of serial numbers")
)
