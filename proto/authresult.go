package proto

import (
	"encoding/binary"
	"io"
	"unicode/utf8"
)

// AuthCode is the verdict on a login.
type AuthCode uint8

// The verdicts.
const (
	AuthOK         AuthCode = 0 // the session begins with the next byte
	AuthDenied     AuthCode = 1 // not allowed, or not understood
	AuthNeedSig    AuthCode = 2 // sign with the key that Index names, counted from 0
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
	Ext  []byte // of AuthOK over a network a [ResumeGrant], empty otherwise
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

// ReadAuthResult reads one AUTH_RESULT frame from r, as [ReadAuth] does.
func ReadAuthResult(r io.Reader) (*AuthResult, error) {
	frame, err := readAuthFrame("auth result", r, MaxAuthResult)
	if err != nil {
		return nil, err
	}
	return ParseAuthResult(frame)
}
