package proto

import (
	"strings"
	"unicode/utf8"
)

// cutText makes s a text for people that a peer accepts: valid UTF-8 of at most
// MaxText bytes. Messages of refusals quote names from the system, which need
// not be text, and a refusal must not fail for that.
func cutText(s string) string {
	if len(s) > MaxText {
		end := MaxText
		for end > MaxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return strings.ToValidUTF8(s, "?")
}

// Names are names from the system: strings of bytes that need not be text. On
// the wire they are an array of byte strings.
type Names []string

// MarshalCBOR encodes n as an array of byte strings.
func (n Names) MarshalCBOR() ([]byte, error) {
	list := make([][]byte, len(n))
	for i, s := range n {
		list[i] = []byte(s)
	}
	return encMode().Marshal(list)
}

// UnmarshalCBOR decodes an array of byte strings. An empty one is nil.
func (n *Names) UnmarshalCBOR(data []byte) error {
	var list [][]byte
	if err := decMode().Unmarshal(data, &list); err != nil {
		return err
	}
	*n = nil
	for _, s := range list {
		*n = append(*n, string(s))
	}
	return nil
}

// fit leaves out the names that do not fit in MaxDroppedBytes.
func (n Names) fit() Names {
	left := MaxDroppedBytes
	var out Names
	for _, s := range n {
		if size := len(s) + EntryCost; size <= left {
			out = append(out, s)
			left -= size
		}
	}
	return out
}
