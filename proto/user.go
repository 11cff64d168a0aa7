package proto

import (
	"strings"
	"unicode/utf8"
)

// CheckUser reports whether name may be the name of a user in this protocol:
// 1 to 255 bytes of UTF-8, not beginning with '-', without white space, control
// and formatting characters, and without the characters that shells, files of
// configuration and paths give a meaning. The error is an [*AuthError] that
// quotes the name, escaped.
func CheckUser(name string) error {
	switch {
	case name == "":
		return authErrorf("auth: empty user name")
	case len(name) > MaxUser:
		return authErrorf("auth: user name of %d bytes exceeds %d", len(name), MaxUser)
	case name[0] == '-':
		return authErrorf("auth: user name %s begins with '-'", quote([]byte(name)))
	case !utf8.ValidString(name):
		return authErrorf("auth: user name %s is not UTF-8", quote([]byte(name)))
	case strings.ContainsFunc(name, forbiddenInUser):
		return authErrorf("auth: user name %s has a forbidden character", quote([]byte(name)))
	}
	return nil
}

// forbiddenInUser is the table of PROTOCOL.md section 4.3. It is written out
// because Unicode's own tables change with its versions.
func forbiddenInUser(r rune) bool {
	switch {
	case r <= 0x20, 0x7f <= r && r <= 0xa0, r == 0xad: // controls, spaces, soft hyphen
		return true
	case r == 0x1680, 0x2000 <= r && r <= 0x200f, 0x2028 <= r && r <= 0x202f: // spaces, direction marks
		return true
	case 0x205f <= r && r <= 0x206f, r == 0x3000, r == 0xfeff: // spaces, direction isolates
		return true
	case r < 0x80:
		return strings.ContainsRune("'`\"\\$;&<>|(){},:/", r)
	}
	return false
}
