package mux

import "encoding/binary"

const (
	headerSize    = 12
	initialWindow = 256 << 10 // what yamux lets either end send on a new stream before any update
)

// FrameSize is how many bytes of data one frame carries at most. A Write of this many bytes, or of a multiple, is the
// fastest: with its header and that of a link's record a frame fills four TLS records exactly. What another stream has
// to say waits for at most one frame of each stream before it.
const FrameSize = 4*16384 - headerSize - recordHeader

// worthSending is the smallest part of a frame that is sent because the peer's window is nearly full. Waiting for more
// is safe: the peer grants more when half of its window, at least 128 KiB, is free.
const worthSending = FrameSize / 4

const (
	kindData uint8 = iota
	kindWindow
	kindPing
	kindGoAway
)

const (
	flagSYN uint16 = 1 << iota
	flagACK
	flagFIN
	flagRST

	knownFlags = flagSYN | flagACK | flagFIN | flagRST
)

// frame is the header of one yamux frame; length is the body's for data, the credit for window updates and an
// opaque value for pings.
type frame struct {
	version, kind uint8
	flags         uint16
	id, length    uint32
}

func parseFrame(b []byte) frame {
	return frame{
		version: b[0],
		kind:    b[1],
		flags:   binary.BigEndian.Uint16(b[2:4]),
		id:      binary.BigEndian.Uint32(b[4:8]),
		length:  binary.BigEndian.Uint32(b[8:12]),
	}
}

func (f frame) put(b []byte) {
	b[0], b[1] = f.version, f.kind
	binary.BigEndian.PutUint16(b[2:4], f.flags)
	binary.BigEndian.PutUint32(b[4:8], f.id)
	binary.BigEndian.PutUint32(b[8:12], f.length)
}

func (f frame) has(flag uint16) bool { return f.flags&flag != 0 }

// bodyLen is how many bytes follow the header.
func (f frame) bodyLen() uint32 {
	if f.kind == kindData {
		return f.length
	}
	return 0
}
