package revoked

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// MaxFile bounds a list, in bytes.
const MaxFile = 16 << 20

// A List is a list of revoked keys. It is immutable, and its methods may be
// called concurrently. A nil List revokes nothing.
type List struct {
	keys    map[string]bool // wire formats of plain keys
	sha1s   map[[sha1.Size]byte]bool
	sha256s map[[sha256.Size]byte]bool
	certs   map[string]*certs // by the wire format of the authority; "" is any
}

// Load reads a list. A file that is missing, unreadable, malformed or exceeds
// [MaxFile] is an error that names it; nothing may be accepted then.
func Load(path string) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("revoked keys: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("revoked keys: %w", err)
	case len(data) > MaxFile:
		return nil, fmt.Errorf("revoked keys: %s exceeds %d bytes", path, MaxFile)
	}
	l, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("revoked keys: %s: %w", path, err)
	}
	return l, nil
}

// Parse reads a list in either form. The result shares no memory with data.
func Parse(data []byte) (*List, error) {
	l := &List{
		keys:    map[string]bool{},
		sha1s:   map[[sha1.Size]byte]bool{},
		sha256s: map[[sha256.Size]byte]bool{},
		certs:   map[string]*certs{},
	}
	if bytes.HasPrefix(data, []byte(magic)) {
		if err := l.parseKRL(data[len(magic):]); err != nil {
			return nil, fmt.Errorf("bad key revocation list: %w", err)
		}
		return l, nil
	}
	if err := l.parseText(data); err != nil {
		return nil, err
	}
	return l, nil
}

// Check returns nil for a key that is not revoked, else a [*RevokedError]. A
// certificate is revoked if it is listed itself, by its serial number or key
// id, and also with its key and with its authority.
func (l *List) Check(k *auth.Key) error {
	if l == nil {
		return nil
	}
	reason := l.checkKey(k.Plain(), "the key")
	if a := k.Authority(); reason == "" && a != nil {
		reason = l.checkKey(a.Plain(), "the authority that signed it")
		if reason == "" {
			reason = l.checkCert(k, a)
		}
	}
	if reason == "" {
		return nil
	}
	return &RevokedError{Fingerprint: k.Fingerprint(), Reason: reason}
}

func (l *List) checkKey(k *auth.Key, what string) string {
	switch blob := k.Blob(); {
	case l.keys[string(blob)]:
		return what + " is listed"
	case l.sha256s[sha256.Sum256(blob)]:
		return what + " is listed by its SHA256 fingerprint"
	case l.sha1s[sha1.Sum(blob)]:
		return what + " is listed by its SHA1 fingerprint"
	}
	return ""
}

func (l *List) checkCert(k, authority *auth.Key) string {
	serial, id := k.CertID()
	id = keyID(id)
	for _, ca := range []string{string(authority.Blob()), ""} {
		c := l.certs[ca]
		switch {
		case c == nil:
		case c.ids[id]:
			return fmt.Sprintf("its key id %+.64q is listed", id)
		case c.hasSerial(serial):
			return fmt.Sprintf("its serial number %d is listed", serial)
		}
	}
	return ""
}

// keyID drops a NUL at the end, which does not count for OpenSSH.
func keyID(id string) string { return strings.TrimSuffix(id, "\x00") }
