package auth

import (
	"encoding/binary"
	"errors"
)

// appendString appends a string of RFC 4251 section 5.
func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

var errTruncated = errors.New("truncated")

// cutString takes a string of RFC 4251 off the front of b. Both results are
// parts of b.
func cutString(b []byte) (s, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errTruncated
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, errTruncated
	}
	return b[:n], b[n:], nil
}
