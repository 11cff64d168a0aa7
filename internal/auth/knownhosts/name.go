package knownhosts

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
)

// sshPort is the port whose hosts have plain names.
const sshPort = 22

// maxPattern is the length from which a pattern makes OpenSSH give up the whole
// line, in bytes.
const maxPattern = 1023

// hashMagic begins a hashed name: |1|salt|HMAC-SHA1(salt, name).
const hashMagic = "|1|"

// lookup returns the name under which a host is looked up first, and the one
// that counts when no line pins a key for the first: "" when there is none.
func lookup(host string, port int, alias string) (exact, fallback string) {
	switch host = lower(host); {
	case alias != "":
		return lower(alias), ""
	case port == sshPort:
		return host, ""
	}
	return fmt.Sprintf("[%s]:%d", host, port), host
}

// matches reports whether the hosts of a line include a name in lower case.
func matches(hosts, name string) bool {
	if strings.HasPrefix(hosts, "|") {
		salt, ok := saltOf(hosts)
		return ok && hosts == hashName(salt, name)
	}
	found := false
	for pattern := range strings.SplitSeq(hosts, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if len(pattern) >= maxPattern {
			return false
		}
		if glob(lower(pattern), name) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// glob matches a pattern with * and ? in time len(pattern) * len(name): a
// mismatch goes back to the last * only.
func glob(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// saltOf is the salt of a hashed name.
func saltOf(hashed string) ([]byte, bool) {
	text, ok := strings.CutPrefix(hashed, hashMagic)
	if !ok {
		return nil, false
	}
	text, _, ok = strings.Cut(text, "|")
	salt, err := base64.StdEncoding.Strict().DecodeString(text)
	return salt, ok && err == nil && len(salt) == sha1.Size
}

// hashName is a name as it stands in a hashed line.
func hashName(salt []byte, name string) string {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	b64 := base64.StdEncoding.EncodeToString
	return hashMagic + b64(salt) + "|" + b64(mac.Sum(nil))
}

func newSalt() []byte {
	salt := make([]byte, sha1.Size)
	_, _ = rand.Read(salt) // never fails
	return salt
}

// lower changes ASCII letters only, as OpenSSH does, and keeps bytes that are no
// text.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
