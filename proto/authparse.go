package proto

import (
	"bytes"
	"encoding/binary"
	"io"
)

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

// list is n strings; of more than most it reads none.
func (p *authParser) list(n, most, size int) (list [][]byte) {
	if n > most {
		p.long = true
		return nil
	}
	for range n {
		list = append(list, bytes.Clone(p.str(size)))
	}
	return list
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
		return authErrorf("%s: a string or list is too long", p.what)
	case len(p.rest) > 0:
		return authErrorf("%s: %d trailing bytes", p.what, len(p.rest))
	}
	return nil
}
