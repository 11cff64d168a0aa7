package proto

import (
	"bytes"
	"io"
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
	// MaxKeyBlob bounds a public key or certificate, in bytes.
	MaxKeyBlob = 16384
	// MaxSignature bounds a signature, in bytes.
	MaxSignature = 4096
	// MaxKeys bounds the keys of one AUTH frame.
	MaxKeys = 16
)

// The types of the two frames, their first byte after the length.
const (
	typeAuth       = 1
	typeAuthResult = 2
)

// AuthMode says by what a client proves who it is.
type AuthMode uint8

// The modes. This version parses and writes all that are not reserved.
const (
	AuthKey         AuthMode = 1 // one signed key
	AuthNegotiate   AuthMode = 2 // a list of keys to choose from
	AuthX509        AuthMode = 3 // a certificate of the TLS connection; reserved
	AuthPeer        AuthMode = 4 // credentials of the Unix socket's peer
	AuthResume      AuthMode = 5 // a session that lost its connection; reserved
	AuthDescriptors AuthMode = 6 // as AuthPeer, for one command with passed descriptors
)

// Auth is the login of a client, the first frame of a connection that needs
// one:
//
//	u32 length (1..32768) | u8 type=1 | u8 version=1 | u8 mode | string user | string ext
//
// A string is a u32 length and so many bytes; all integers are big endian.
// Between user and ext the other modes have:
//
//	AuthKey        string key | string signature
//	AuthNegotiate  u8 n (1..16) | n times string key
//
// Keys and signatures are not looked into here.
type Auth struct {
	Mode AuthMode
	User string // see [CheckUser]
	// Keys are public keys or certificates in the wire format of SSH, of
	// AuthKey exactly one, 1 to [MaxKeyBlob] bytes each.
	Keys [][]byte
	// Signature is that of AuthKey, 1 to [MaxSignature] bytes: string algorithm,
	// string blob, and for keys on hardware u8 flags, u32 counter.
	Signature []byte
	// Ext is for extensions of the mode: empty with AuthPeer and AuthDescriptors,
	// a [ResumeWish] otherwise. A server ignores what it does not know.
	Ext []byte
}

// Append appends the frame of a, with its length, to dst. It fails with an
// [*AuthError] if this version cannot say it.
func (a *Auth) Append(dst []byte) ([]byte, error) {
	if err := a.check(); err != nil {
		return dst, err
	}
	body := []byte{typeAuth, AuthVersion, byte(a.Mode)}
	body = appendString(body, a.User)
	if a.Mode == AuthNegotiate {
		body = append(body, byte(len(a.Keys)))
	}
	for _, key := range a.Keys {
		body = appendString(body, key)
	}
	if a.Mode == AuthKey {
		body = appendString(body, a.Signature)
	}
	body = appendString(body, a.Ext)
	if len(body) > MaxAuth {
		return dst, authErrorf("auth frame of %d bytes exceeds %d", len(body), MaxAuth)
	}
	return appendString(dst, body), nil
}

// check says what the fields must be in their mode, in both directions.
func (a *Auth) check() error {
	least, most := 0, 0
	switch a.Mode {
	case AuthPeer, AuthDescriptors:
	case AuthKey:
		least, most = 1, 1
	case AuthNegotiate:
		least, most = 1, MaxKeys
	default:
		return unsupportedMode(a.Mode)
	}
	if len(a.Keys) < least || len(a.Keys) > most {
		return authErrorf("auth: %d keys in mode %d, allowed are %d to %d", len(a.Keys), a.Mode, least, most)
	}
	for _, key := range a.Keys {
		if len(key) == 0 || len(key) > MaxKeyBlob {
			return authErrorf("auth: key of %d bytes, allowed are 1 to %d", len(key), MaxKeyBlob)
		}
	}
	if n := len(a.Signature); (a.Mode == AuthKey) != (n > 0) || n > MaxSignature {
		return authErrorf("auth: signature of %d bytes in mode %d", n, a.Mode)
	}
	return CheckUser(a.User)
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
	n := 0
	switch a.Mode {
	case AuthPeer, AuthDescriptors:
	case AuthKey:
		n = 1
	case AuthNegotiate: // the number comes after the user
	default:
		return nil, unsupportedMode(a.Mode)
	}
	a.User = string(p.str(MaxUser))
	if a.Mode == AuthNegotiate {
		n = int(p.u8())
	}
	a.Keys = p.list(n, MaxKeys, MaxKeyBlob)
	if a.Mode == AuthKey {
		a.Signature = bytes.Clone(p.str(MaxSignature))
	}
	a.Ext = p.ext()
	if err := p.end(); err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
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

func unsupportedMode(m AuthMode) error {
	return authErrorf("auth: this version does not speak mode %d", m)
}
