package revoked

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// magic begins a binary list, the only version of the format follows it.
const (
	magic   = "SSHKRL\n\x00"
	version = 1
)

// The sections of a list, and those of the certificates of an authority
// (PROTOCOL.krl). Signatures (4) were never written by ssh-keygen and are no
// longer read by OpenSSH.
const (
	sectionCerts     = 1
	sectionKeys      = 2
	sectionSHA1      = 3
	sectionSHA256    = 5
	sectionExtension = 255
	certSerials      = 0x20
	certSerialRange  = 0x21
	certSerialBitmap = 0x22
	certKeyIDs       = 0x23
	certExtension    = 0x39
)

// A reader takes a list apart. After an error it yields zero values, so that
// only the end must be checked.
type reader struct {
	data []byte
	err  error
}

func (r *reader) next(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.data)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.next(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() []byte { return r.next(uint64(r.uint32())) }

// more reports whether there is something left to read.
func (r *reader) more() bool { return r.err == nil && len(r.data) > 0 }

// end is the first error, bytes that are left over being one.
func (r *reader) end() error {
	if r.more() {
		return errTrailing
	}
	return r.err
}

// parseKRL reads what follows the magic.
func (l *List) parseKRL(data []byte) error {
	r := &reader{data: data}
	if v := r.uint32(); r.err == nil && v != version {
		return fmt.Errorf("format version %d is not supported", v)
	}
	r.next(8 + 8 + 8) // number, date and flags
	r.string()        // reserved
	r.string()        // comment
	for r.more() {
		kind, body := r.byte(), &reader{data: r.string()}
		if r.err != nil {
			break
		}
		if err := l.section(kind, body); err != nil {
			return fmt.Errorf("section %d: %w", kind, err)
		}
	}
	for _, c := range l.certs {
		c.merge()
	}
	return r.end()
}

func (l *List) section(kind byte, r *reader) error {
	switch kind {
	case sectionCerts:
		return l.certSection(r)
	case sectionKeys:
		for r.more() {
			l.keys[string(r.string())] = true
		}
	case sectionSHA1:
		return hashes(r, func(sum []byte) { l.sha1s[[20]byte(sum)] = true }, 20)
	case sectionSHA256:
		return hashes(r, func(sum []byte) { l.sha256s[[32]byte(sum)] = true }, 32)
	case sectionExtension:
		return extension(r)
	default:
		return errors.New("not supported")
	}
	return r.end()
}

func hashes(r *reader, add func(sum []byte), size int) error {
	for r.more() {
		sum := r.string()
		switch {
		case r.err != nil:
		case len(sum) != size:
			return errHash
		default:
			add(sum)
		}
	}
	return r.end()
}

// extension skips one that its writer lets a reader skip.
func extension(r *reader) error {
	r.string() // name
	critical := r.byte() != 0
	r.string() // contents
	if err := r.end(); err != nil || !critical {
		return err
	}
	return errCritical
}

// certSection reads the certificates of one authority, or of all.
func (l *List) certSection(r *reader) error {
	ca := r.string()
	r.string() // reserved
	if r.err == nil && len(ca) > 0 {
		switch key, err := auth.ParseKey(ca); {
		case err != nil:
			return fmt.Errorf("authority: %w", errKey)
		case key.IsCert():
			return errAuthority
		}
	}
	c := l.certs[string(ca)]
	if c == nil {
		c = &certs{ids: map[string]bool{}}
		l.certs[string(ca)] = c
	}
	for r.more() {
		kind, body := r.byte(), &reader{data: r.string()}
		if r.err != nil {
			break
		}
		if err := c.section(kind, body); err != nil {
			return fmt.Errorf("certificates %#x: %w", kind, err)
		}
	}
	return r.end()
}

func (c *certs) section(kind byte, r *reader) error {
	switch kind {
	case certSerials:
		for r.more() {
			serial := r.uint64()
			if err := c.addRange(r, serial, serial); err != nil {
				return err
			}
		}
	case certSerialRange:
		if err := c.addRange(r, r.uint64(), r.uint64()); err != nil {
			return err
		}
	case certSerialBitmap:
		if err := c.addBitmap(r, r.uint64(), r.string()); err != nil {
			return err
		}
	case certKeyIDs:
		for r.more() {
			id := keyID(string(r.string()))
			if strings.IndexByte(id, 0) >= 0 {
				return errKeyID
			}
			c.ids[id] = true
		}
	case certExtension:
		return extension(r)
	default:
		return errors.New("not supported")
	}
	return r.end()
}
