package mux

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of a link's records (PROTOCOL.md section 5.4): u8 type | u24 length | payload.
const (
	recordData  uint8 = 1 + iota // bytes of what is above the link
	recordAck                    // u64: how many of these bytes have been delivered upwards since the link began
	recordPing                   // u64, for the PONG
	recordPong                   // u64 of the latest PING
	recordClose                  // u16 code | text: nothing more comes
	recordPause                  // the sender is about to be stopped
)

const (
	recordHeader = 4
	maxData      = FrameSize + headerSize + recordHeader // 64 KiB: what any yamux frame of the protocol fits into
	maxCloseText = 1024

	// Delivered bytes are acknowledged at the latest when there are so many, or so long after the first. From ackAlong
	// on the ACK goes with the next record that is sent anyway.
	ackBytes = 256 << 10
	ackDelay = time.Second
	ackAlong = ackBytes / 4
)

// The codes of CLOSE. A code that a receiver does not know says only that the peer ended the link.
const (
	CloseNormal    uint16 = 0 // there is nothing more to do
	CloseViolation uint16 = 1 // the peer broke the protocol; the text says how
	CloseShutdown  uint16 = 2 // this end is stopped; trying again elsewhere or later makes sense
)

func appendRecord(b []byte, kind uint8, length int) []byte {
	return append(b, kind, byte(length>>16), byte(length>>8), byte(length))
}

// appendNumber appends a whole ACK, PING or PONG.
func appendNumber(b []byte, kind uint8, v uint64) []byte {
	return binary.BigEndian.AppendUint64(appendRecord(b, kind, 8), v)
}

func parseRecord(b [recordHeader]byte) (kind uint8, length int) {
	return b[0], int(b[1])<<16 | int(b[2])<<8 | int(b[3])
}

// checkRecord says what is wrong with a header. Nothing is allocated, and nothing more is read, before.
func checkRecord(kind uint8, length int) error {
	var least, most int
	switch kind {
	case recordData:
		least, most = 1, maxData
	case recordAck, recordPing, recordPong:
		least, most = 8, 8
	case recordClose:
		least, most = 2, 2+maxCloseText
	case recordPause:
	default:
		return violation("unknown record type")
	}
	if length < least || length > most {
		return violation("record of a wrong length")
	}
	return nil
}

// farewell is the content of a CLOSE.
type farewell struct {
	code uint16
	text string
}

func (f farewell) append(b []byte) []byte {
	b = appendRecord(b, recordClose, 2+len(f.text))
	return append(binary.BigEndian.AppendUint16(b, f.code), f.text...)
}

func parseFarewell(p []byte) (farewell, error) {
	if !utf8.Valid(p[2:]) {
		return farewell{}, violation("text of CLOSE is not UTF-8")
	}
	return farewell{binary.BigEndian.Uint16(p), string(p[2:])}, nil
}

// closeText makes any text one that CLOSE can carry.
func closeText(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= maxCloseText {
		return text
	}
	n := maxCloseText
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
