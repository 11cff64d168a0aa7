package proto

import "encoding/binary"

// Lengths of what names and protects a session that can be resumed, in bytes.
const (
	SessionIDLength    = 16
	ResumeSecretLength = 32
)

// A ResumeWish is the Ext of an [Auth] with a key: how long the client would
// like the server to hold the session when its connection is lost, and how
// much of what it receives then can be sent again.
//
//	u32 window (s) | u32 ring (KiB)
type ResumeWish struct {
	Window uint32 // in seconds
	Ring   uint32 // in KiB
}

// Append appends the wish to dst.
func (w ResumeWish) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, w.Window)
	return binary.BigEndian.AppendUint32(dst, w.Ring)
}

// ParseResumeWish parses an Ext. What follows the wish is ignored; an Ext that
// is too short is an [*AuthError].
func ParseResumeWish(ext []byte) (w ResumeWish, err error) {
	if len(ext) < 8 {
		return w, authErrorf("auth: extension of %d bytes is too short", len(ext))
	}
	return ResumeWish{Window: binary.BigEndian.Uint32(ext), Ring: binary.BigEndian.Uint32(ext[4:])}, nil
}

// A ResumeGrant is the Ext of an [AuthResult] that says [AuthOK] over a
// network.
//
//	session id (16) | resume secret (32) | u32 window granted (s) | u32 ring (KiB)
//
// A server that holds no lost sessions grants a window of 0.
type ResumeGrant struct {
	ID     [SessionIDLength]byte
	Secret [ResumeSecretLength]byte
	Window uint32 // in seconds
	Ring   uint32 // in KiB
}

// Append appends the grant to dst.
func (g *ResumeGrant) Append(dst []byte) []byte {
	dst = append(append(dst, g.ID[:]...), g.Secret[:]...)
	return ResumeWish{Window: g.Window, Ring: g.Ring}.Append(dst)
}

// ParseResumeGrant parses an Ext, as [ParseResumeWish] does.
func ParseResumeGrant(ext []byte) (*ResumeGrant, error) {
	const named = SessionIDLength + ResumeSecretLength
	if len(ext) < named+8 {
		return nil, authErrorf("auth result: extension of %d bytes is too short", len(ext))
	}
	g := new(ResumeGrant)
	copy(g.ID[:], ext)
	copy(g.Secret[:], ext[SessionIDLength:])
	wish, err := ParseResumeWish(ext[named:])
	g.Window, g.Ring = wish.Window, wish.Ring
	return g, err
}
