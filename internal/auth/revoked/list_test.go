package revoked

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

func str(fields ...string) string {
	var b []byte
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return string(b)
}

func u64(numbers ...uint64) string {
	var b []byte
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}

func section(kind byte, body string) string { return string([]byte{kind}) + str(body) }

// krl is a binary list of some sections.
func krl(sections ...string) string {
	return magic + "\x00\x00\x00\x01" + u64(1, 2, 0) + str("", "a comment") + strings.Join(sections, "")
}

// certsOf is a section with the certificates of an authority.
func certsOf(ca string, sections ...string) string {
	return section(sectionCerts, str(ca, "")+strings.Join(sections, ""))
}

func TestKRL(t *testing.T) {
	ca, other, key := newPair(t), newPair(t), newPair(t)
	blob, caBlob := string(key.key.Blob()), string(ca.key.Blob())
	sum1, sum256 := sha1.Sum(key.key.Blob()), sha256.Sum256(key.key.Blob())
	bitmap := func(base uint64, bits ...byte) string {
		return section(certSerialBitmap, u64(base)+str(string(bits)))
	}
	cert := key.certify(t, ca, 7, "alice")
	for name, c := range map[string]struct {
		list   string
		key    *auth.Key
		reason string // "" if the key is not revoked
	}{
		"empty":                  {krl(), cert, ""},
		"key":                    {krl(section(sectionKeys, str("x", blob))), key.key, "the key is listed"},
		"key of certificate":     {krl(section(sectionKeys, str(blob))), cert, "the key is listed"},
		"certificate as key":     {krl(section(sectionKeys, str(string(cert.Blob())))), cert, ""},
		"sha1":                   {krl(section(sectionSHA1, str(string(sum1[:])))), cert, "the key is listed by its SHA1 fingerprint"},
		"sha256":                 {krl(section(sectionSHA256, str(string(sum256[:])))), cert, "the key is listed by its SHA256 fingerprint"},
		"authority":              {krl(section(sectionKeys, str(caBlob))), cert, "the authority that signed it is listed"},
		"authority, plain key":   {krl(section(sectionKeys, str(caBlob))), key.key, ""},
		"serial":                 {krl(certsOf(caBlob, section(certSerials, u64(9, 7, 8)))), cert, "its serial number 7 is listed"},
		"serial of another":      {krl(certsOf(string(other.key.Blob()), section(certSerials, u64(7)))), cert, ""},
		"serial of any":          {krl(certsOf("", section(certSerials, u64(7)))), cert, "its serial number 7 is listed"},
		"two sections":           {krl(certsOf(caBlob, section(certSerials, u64(7))), certsOf(caBlob, section(certSerials, u64(1)))), cert, "its serial number 7 is listed"},
		"overlapping ranges":     {krl(certsOf(caBlob, section(certSerialRange, u64(2, 9)), section(certSerialRange, u64(3, 4)))), cert, "its serial number 7 is listed"},
		"range":                  {krl(certsOf(caBlob, section(certSerialRange, u64(7, 7)))), cert, "its serial number 7 is listed"},
		"range below":            {krl(certsOf(caBlob, section(certSerialRange, u64(1, 6)))), cert, ""},
		"range above":            {krl(certsOf(caBlob, section(certSerialRange, u64(8, math.MaxUint64)))), cert, ""},
		"no serial":              {krl(certsOf(caBlob, section(certSerialRange, u64(1, math.MaxUint64)))), key.certify(t, ca, 0, ""), ""},
		"bitmap":                 {krl(certsOf(caBlob, bitmap(4, 0x08))), cert, "its serial number 7 is listed"},
		"bitmap, many bytes":     {krl(certsOf(caBlob, bitmap(1, 0x01, 0, 0x40))), cert, "its serial number 7 is listed"},
		"bitmap, other bits":     {krl(certsOf(caBlob, bitmap(1, 0, 0xff, 0xff, 0xbf))), cert, ""},
		"bitmap, empty":          {krl(certsOf(caBlob, bitmap(7))), cert, ""},
		"bitmap, at the end":     {krl(certsOf(caBlob, bitmap(math.MaxUint64, 1))), key.certify(t, ca, math.MaxUint64, ""), "its serial number 18446744073709551615 is listed"},
		"key id":                 {krl(certsOf(caBlob, section(certKeyIDs, str("bob", "alice")))), cert, `its key id "alice" is listed`},
		"key id with NUL":        {krl(certsOf(caBlob, section(certKeyIDs, str("alice\x00")))), cert, `its key id "alice" is listed`},
		"key id, NUL in it":      {krl(certsOf(caBlob, section(certKeyIDs, str("alice")))), key.certify(t, ca, 1, "alice\x00"), `its key id "alice" is listed`},
		"key id, hostile":        {krl(certsOf("", section(certKeyIDs, str("\x1b[2J\u202e")))), key.certify(t, ca, 1, "\x1b[2J\u202e"), `its key id "\x1b[2J\u202e" is listed`},
		"key id of a plain key":  {krl(certsOf("", section(certKeyIDs, str("")))), key.key, ""},
		"extension":              {krl(section(sectionExtension, str("x")+"\x00"+str("y")), section(sectionKeys, str(blob))), key.key, "the key is listed"},
		"certificates extension": {krl(certsOf(caBlob, section(certExtension, str("x")+"\x00"+str("y")), section(certSerials, u64(7)))), cert, "its serial number 7 is listed"},
	} {
		l, err := Parse([]byte(c.list))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		if e := (*RevokedError)(nil); errors.As(l.Check(c.key), &e) {
			got = e.Reason
			if want := "key " + key.key.Fingerprint() + " is revoked: " + got; e.Error() != want {
				t.Errorf("%s: %q, want %q", name, e, want)
			}
		}
		if got != c.reason {
			t.Errorf("%s: %q, want %q", name, got, c.reason)
		}
	}
}

func TestMalformedKRL(t *testing.T) {
	key := newPair(t)
	blob := string(key.key.Blob())
	cert := string(key.certify(t, key, 1, "x").Blob())
	for name, c := range map[string]struct{ list, want string }{
		"version":              {strings.Replace(krl(), "\x00\x01", "\x00\x02", 1), "format version 2 is not supported"},
		"no header":            {magic, "truncated"},
		"section 0":            {krl(section(0, "")), "section 0: not supported"},
		"signature":            {krl(section(4, str(blob, "x"))), "section 4: not supported"},
		"length":               {krl("\x02\xff\xff\xff\xff"), "truncated"},
		"key cut":              {krl(section(sectionKeys, "\x00\x00\x00\x09x")), "section 2: truncated"},
		"sha1 length":          {krl(section(sectionSHA1, str("x"))), "section 3: fingerprint of a wrong length"},
		"sha256 length":        {krl(section(sectionSHA256, str(strings.Repeat("x", 20)))), "section 5: fingerprint of a wrong length"},
		"critical":             {krl(section(sectionExtension, str("x")+"\x01"+str(""))), "section 255: unknown critical extension"},
		"critical, odd":        {krl(section(sectionExtension, str("x")+"\x80"+str(""))), "section 255: unknown critical extension"},
		"extension trailing":   {krl(section(sectionExtension, str("x")+"\x00"+str("")+"z")), "section 255: trailing bytes"},
		"authority":            {krl(certsOf("x")), "section 1: authority: bad key or unknown type"},
		"authority, cert":      {krl(certsOf(cert)), "section 1: authority is a certificate"},
		"certs section":        {krl(certsOf("", section(0x24, ""))), "section 1: certificates 0x24: not supported"},
		"serial 0":             {krl(certsOf("", section(certSerials, u64(0)))), "section 1: certificates 0x20: serial number 0"},
		"serial cut":           {krl(certsOf("", section(certSerials, u64(1)+"x"))), "section 1: certificates 0x20: truncated"},
		"range backwards":      {krl(certsOf("", section(certSerialRange, u64(2, 1)))), "section 1: certificates 0x21: range of serial numbers ends before it begins"},
		"range trailing":       {krl(certsOf("", section(certSerialRange, u64(1, 2, 3)))), "section 1: certificates 0x21: trailing bytes"},
		"bitmap wraps":         {krl(certsOf("", section(certSerialBitmap, u64(math.MaxUint64)+str("\x02")))), "section 1: certificates 0x22: bad bitmap of serial numbers"},
		"bitmap negative":      {krl(certsOf("", section(certSerialBitmap, u64(1)+str("\x80")))), "section 1: certificates 0x22: bad bitmap of serial numbers"},
		"bitmap with 0":        {krl(certsOf("", section(certSerialBitmap, u64(0)+str("\x01")))), "section 1: certificates 0x22: serial number 0"},
		"bitmap too long":      {krl(certsOf("", section(certSerialBitmap, u64(1)+str("\x01"+strings.Repeat("x", maxBitmap))))), "section 1: certificates 0x22: bad bitmap of serial numbers"},
		"key id, NUL":          {krl(certsOf("", section(certKeyIDs, str("a\x00b")))), "section 1: certificates 0x23: key id with a NUL"},
		"certificate critical": {krl(certsOf("", section(certExtension, str("x")+"\x01"+str("")))), "section 1: certificates 0x39: unknown critical extension"},
	} {
		l, err := Parse([]byte(c.list))
		if l != nil || err == nil || err.Error() != "bad key revocation list: "+c.want {
			t.Errorf("%s: %v, %v, want %q", name, l, err, c.want)
		}
	}
}

// TestTruncated cuts a list everywhere: only at the end of a section it is one.
func TestTruncated(t *testing.T) {
	ends := map[int]bool{0: true} // an empty file is an empty text
	sections := []string{
		certsOf(string(newPair(t).key.Blob()), section(certSerials, u64(1, 2)), section(certKeyIDs, str("a", "b"))),
		section(sectionKeys, str("a", "b")), section(sectionSHA1, str(strings.Repeat("x", 20))),
	}
	for i := range len(sections) + 1 {
		ends[len(krl(sections[:i]...))] = true
	}
	whole := krl(sections...)
	for n := range len(whole) + 1 {
		if _, err := Parse([]byte(whole[:n])); (err == nil) != ends[n] {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestText(t *testing.T) {
	key, ca, other := newPair(t), newPair(t), newPair(t)
	cert := key.certify(t, ca, 1, "x")
	l, err := Parse([]byte("# comment\n\n  \t" + key.key.String() + " a comment\r\n\r\n" + ca.key.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*auth.Key{key.key, ca.key, cert, other.certify(t, ca, 2, ""), key.certify(t, other, 3, "")} {
		if err := l.Check(k); err == nil {
			t.Errorf("%s is not revoked", k.Type())
		}
	}
	if err := l.Check(other.certify(t, other, 1, "x")); err != nil {
		t.Error(err)
	}
	// A line with a certificate revokes its key, as in OpenSSH.
	if l, err = Parse([]byte(cert.String() + "\n")); err != nil || l.Check(key.key) == nil || l.Check(ca.key) != nil {
		t.Errorf("list of a certificate: %v, %v, %v", err, l.Check(key.key), l.Check(ca.key))
	}
	b64 := strings.Fields(key.key.String())[1]
	for _, bad := range []string{
		"x", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa " + b64, "cert-authority " + key.key.String(),
		b64, "ssh-ed25519 " + b64[:40], "\xff\xfes\x00s\x00h\x00", magic[:6], "ssh-\x1b[2J " + b64,
	} {
		if l, err := Parse([]byte("\n" + bad + "\n")); l != nil || err == nil || !strings.HasPrefix(err.Error(), "line 2: ") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v, %v", bad, l, err)
		}
	}
}

func TestNil(t *testing.T) {
	if err := (*List)(nil).Check(newPair(t).key); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	key := newPair(t).key
	path := filepath.Join(dir, "revoked")
	if err := os.WriteFile(path, []byte(key.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Load(path); err != nil || l.Check(key) == nil {
		t.Errorf("%v, %v", l, err)
	}
	big, bad := filepath.Join(dir, "big"), filepath.Join(dir, "bad")
	if err := os.WriteFile(big, bytes.Repeat([]byte("\n"), MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte(krl("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), dir, big, bad} {
		if l, err := Load(path); l != nil || err == nil || !strings.HasPrefix(err.Error(), "revoked keys: ") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", path, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	ca, key := newPair(f), newPair(f)
	cert := key.certify(f, ca, 7, "alice")
	f.Add([]byte(""))
	f.Add([]byte("# c\n" + ssh.FingerprintSHA256(ca.signer.PublicKey()) + "\n" + ca.key.String()))
	f.Add([]byte(krl(section(sectionKeys, str(string(key.key.Blob()))), section(sectionSHA1, str(strings.Repeat("x", 20))))))
	f.Add([]byte(krl(certsOf("", section(certSerials, u64(5, 6, 7)), section(certSerialRange, u64(9, math.MaxUint64)),
		section(certSerialBitmap, u64(3)+str("\x01\x00\x10")), section(certKeyIDs, str("a", "b")), section(certExtension, str("x")+"\x00"+str("y"))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if (l == nil) != (err != nil) {
			t.Fatal(l, err)
		}
		if err != nil {
			return
		}
		for _, k := range []*auth.Key{key.key, ca.key, cert} {
			_ = l.Check(k)
		}
		for _, c := range l.certs {
			checkSerials(t, c)
		}
	})
}

// checkSerials compares the search with a plain one, at the edges of ranges.
func checkSerials(t *testing.T, c *certs) {
	for _, s := range c.ranges[:min(len(c.ranges), 50)] {
		if s.lo == 0 || !c.hasSerial(s.lo) || !c.hasSerial(s.hi) {
			t.Fatalf("%v is lost", s)
		}
	}
	for _, b := range c.bitmaps[:min(len(c.bitmaps), 50)] {
		if n := b.len(); n > 0 && !c.hasSerial(b.base+n-1) {
			t.Fatalf("bit %d of the bitmap at %d is lost", n-1, b.base)
		}
	}
	if c.hasSerial(0) {
		t.Fatal("serial number 0 is revoked")
	}
}
