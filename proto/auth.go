package proto

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits and version of the two frames of the login (PROTOCOL.md section 4).
const (
	// AuthVersion is the version of AUTH and AUTH_RESULT.
	AuthVersion = 1
	// MaxAuth bounds an AUTH frame without its length, in bytes.
	MaxAuth = 32768
	// MaxAuthResult bounds an AUTH_RESULT frame without its length, in bytes.
	MaxAuthResult = 2048
	// MaxUser bounds the name of a user, in bytes.
	MaxUser = 255
)

// The types of the two frames, their first byte after the length.
const (
	typeAuth       = 1
	typeAuthResult = 2
)

// AuthMode says by what a client proves who it is.
type AuthMode uint8

// The modes. This version parses and writes AuthPeer only.
const (
	AuthKey         AuthMode = 1 // one signed key; reserved
	AuthNegotiate   AuthMode = 2 // a list of keys to choose from; reserved
	AuthX509        AuthMode = 3 // a certificate of the TLS connection; reserved
	AuthPeer        AuthMode = 4 // credentials of the Unix socket's peer
	AuthResume      AuthMode = 5 // a session that lost its connection; reserved
	AuthDescriptors AuthMode = 6 // one command with passed descriptors; reserved
)

// Auth is the login of a client, the first frame of a connection that needs
// one:
//
//	u32 length (1..32768) | u8 type=1 | u8 version=1 | u8 mode | string user | string ext
//
// A string is a u32 length and so many bytes; all integers are big endian.
// Other modes than AuthPeer have more between user and ext.
type Auth struct {
	Mode AuthMode
	User string // see [CheckUser]
	// Ext is for extensions of the mode. It is empty in mode AuthPeer, and a
	// server ignores what it does not know.
	Ext []byte
}

// AuthCode is the verdict on a login.
type AuthCode uint8

// The verdicts.
const (
	AuthOK         AuthCode = 0 // the session begins with the next byte
	AuthDenied     AuthCode = 1 // not allowed, or not understood
	AuthNeedSig    AuthCode = 2 // sign with the key that Index names; reserved
	AuthBusy       AuthCode = 3 // too many logins at once; try again later
	AuthBadVersion AuthCode = 4 // the server does not speak this version of AUTH
)

var authCodes = [...]string{"ok", "denied", "signature needed", "busy", "bad version"}

// String returns a word for people.
func (c AuthCode) String() string {
	if int(c) < len(authCodes) {
		return authCodes[c]
	}
	return "unknown"
}

// AuthResult is the server's answer to an [Auth]:
//
//	u32 length (1..2048) | u8 type=2 | u8 version=1 | u8 code | u8 index | string text | string ext
type AuthResult struct {
	Code  AuthCode
	Index uint8 // 0 but with AuthNeedSig
	// Text is for people, at most [MaxText] bytes of UTF-8. It comes from the
	// peer: escape it before showing.
	Text string
	Ext  []byte // see [Auth]
}

// Append appends the frame of a, with its length, to dst. It fails with an
// [*AuthError] if this version cannot say it.
func (a *Auth) Append(dst []byte) ([]byte, error) {
	if a.Mode != AuthPeer {
		return dst, unsupportedMode(a.Mode)
	}
	if err := CheckUser(a.User); err != nil {
		return dst, err
	}
	n := 3 + 4 + len(a.User) + 4 + len(a.Ext)
	if n > MaxAuth {
		return dst, authErrorf("auth frame of %d bytes exceeds %d", n, MaxAuth)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, typeAuth, AuthVersion, byte(a.Mode))
	dst = appendString(dst, a.User)
	return appendString(dst, a.Ext), nil
}

// Append appends the frame of r, with its length, to dst. A Text that is too
// long or not UTF-8 is cut and mended, so that a verdict always leaves; it
// fails with an [*AuthError] for an unknown code, an index without AuthNeedSig
// or an Ext that is too long.
func (r *AuthResult) Append(dst []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	text := cutText(r.Text)
	n := 4 + 4 + len(text) + 4 + len(r.Ext)
	if n > MaxAuthResult {
		return dst, authErrorf("auth result of %d bytes exceeds %d", n, MaxAuthResult)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, typeAuthResult, AuthVersion, byte(r.Code), r.Index)
	dst = appendString(dst, text)
	return appendString(dst, r.Ext), nil
}

func (r *AuthResult) check() error {
	if int(r.Code) >= len(authCodes) {
		return authErrorf("auth result: unknown code %d", r.Code)
	}
	if r.Index != 0 && r.Code != AuthNeedSig {
		return authErrorf("auth result: index %d with code %d", r.Index, r.Code)
	}
	return nil
}

// ParseAuth parses an AUTH frame without its length. Its errors are
// [*AuthError], whose Code is what the server answers. The result shares no
// memory with frame.
func ParseAuth(frame []byte) (*Auth, error) {
	p, err := newAuthParser("auth", frame, typeAuth, MaxAuth)
	if err != nil {
		return nil, err
	}
	a := &Auth{Mode: AuthMode(p.u8())}
	if p.short {
		return nil, p.end()
	}
	if a.Mode != AuthPeer {
		return nil, unsupportedMode(a.Mode)
	}
	a.User = string(p.str(MaxUser))
	a.Ext = p.ext()
	if err := p.end(); err != nil {
		return nil, err
	}
	if err := CheckUser(a.User); err != nil {
		return nil, err
	}
	return a, nil
}

// ParseAuthResult parses an AUTH_RESULT frame without its length. Its errors
// are [*AuthError]. The result shares no memory with frame.
func ParseAuthResult(frame []byte) (*AuthResult, error) {
	p, err := newAuthParser("auth result", frame, typeAuthResult, MaxAuthResult)
	if err != nil {
		return nil, err
	}
	r := &AuthResult{Code: AuthCode(p.u8()), Index: p.u8()}
	r.Text = string(p.str(MaxText))
	r.Ext = p.ext()
	if err := p.end(); err != nil {
		return nil, err
	}
	if !utf8.ValidString(r.Text) {
		return nil, authErrorf("auth result: text is not UTF-8")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadAuth reads one AUTH frame from r, never a byte beyond it: what follows
// belongs to the session. An end before the first byte is io.EOF, inside the
// frame io.ErrUnexpectedEOF; a bad frame is an [*AuthError].
func ReadAuth(r io.Reader) (*Auth, error) {
	frame, err := readAuthFrame("auth", r, MaxAuth)
	if err != nil {
		return nil, err
	}
	return ParseAuth(frame)
}

// ReadAuthResult reads one AUTH_RESULT frame from r, as [ReadAuth] does.
func ReadAuthResult(r io.Reader) (*AuthResult, error) {
	frame, err := readAuthFrame("auth result", r, MaxAuthResult)
	if err != nil {
		return nil, err
	}
	return ParseAuthResult(frame)
}

func readAuthFrame(what string, r io.Reader, most uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > most {
		return nil, authErrorf("%s frame of %d bytes, allowed are 1 to %d", what, n, most)
	}
	return readN(r, nil, int(n))
}

func unsupportedMode(m AuthMode) error {
	return authErrorf("auth: this version speaks mode %d (peer credentials) only, not mode %d", AuthPeer, m)
}

func appendString[S string | []byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// An authParser takes an AUTH or AUTH_RESULT frame apart from front to back.
// After the first field that does not fit, all others are empty and end
// reports it.
type authParser struct {
	what  string
	rest  []byte
	short bool // a field reached beyond the frame
	long  bool // a string exceeded its limit
}

// newAuthParser checks what all versions of a frame have in common: its size,
// its type and its version.
func newAuthParser(what string, frame []byte, typ byte, most int) (*authParser, error) {
	if len(frame) == 0 || len(frame) > most {
		return nil, authErrorf("%s frame of %d bytes, allowed are 1 to %d", what, len(frame), most)
	}
	p := &authParser{what: what, rest: frame}
	if t := p.u8(); t != typ {
		return nil, authErrorf("%s: frame of type %d", what, t)
	}
	if v := p.u8(); !p.short && v != AuthVersion {
		return nil, &AuthError{
			Code:   AuthBadVersion,
			Reason: what + ": the peer speaks another version of the login",
		}
	}
	return p, nil
}

func (p *authParser) take(n uint64) []byte {
	if p.short || uint64(len(p.rest)) < n {
		p.short, p.rest = true, nil
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *authParser) u8() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *authParser) str(most int) []byte {
	n := p.take(4)
	if n == nil {
		return nil
	}
	s := p.take(uint64(binary.BigEndian.Uint32(n)))
	if len(s) > most {
		p.long = true
		return nil
	}
	return s
}

// ext is the last field of every frame; only the frame bounds it.
func (p *authParser) ext() []byte {
	if s := p.str(MaxAuth); len(s) > 0 {
		return bytes.Clone(s)
	}
	return nil
}

// end reports what was wrong on the way, or bytes that are left over.
func (p *authParser) end() error {
	switch {
	case p.short:
		return authErrorf("%s: truncated: a field reaches beyond the frame", p.what)
	case p.long:
		return authErrorf("%s: a string is too long", p.what)
	case len(p.rest) > 0:
		return authErrorf("%s: %d trailing bytes", p.what, len(p.rest))
	}
	return nil
}

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
