package proto

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// encodeDiag encodes diagnostic notation (RFC 8949 section 8) byte for byte as
// it is written: in its order of keys, and with its encoding indicators. It
// shares no code with the package, so that vectors are made from the
// specification alone. It knows what the vectors use: integers, texts, byte
// strings, arrays and maps with definite and indefinite length, tags, simple
// values and double-precision numbers.
func encodeDiag(s string) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("diagnostic notation: %v before %q", r, s)
		}
	}()
	d := &diagParser{s: s}
	out = d.item()
	if d.space(); d.s != "" {
		return nil, fmt.Errorf("diagnostic notation: %q is left over", d.s)
	}
	return out, nil
}

type diagParser struct{ s string }

func (d *diagParser) space() { d.s = strings.TrimLeft(d.s, " \t\n") }

// eat takes the token if it comes next.
func (d *diagParser) eat(token string) bool {
	d.space()
	if !strings.HasPrefix(d.s, token) {
		return false
	}
	d.s = d.s[len(token):]
	return true
}

func (d *diagParser) must(token string) {
	if !d.eat(token) {
		panic("missing " + token)
	}
}

// until takes everything before the token, and the token.
func (d *diagParser) until(token string) string {
	before, after, ok := strings.Cut(d.s, token)
	if !ok {
		panic("missing " + token)
	}
	d.s = after
	return before
}

func (d *diagParser) item() []byte {
	switch {
	case d.eat("h'"):
		b, err := hex.DecodeString(d.until("'"))
		if err != nil {
			panic(err)
		}
		return append(diagHead(2, uint64(len(b)), -1), b...)
	case d.eat(`"`):
		return d.text()
	case d.eat("[_"):
		return d.sequence(append([]byte{0x9f}, d.list("]")...))
	case d.eat("["):
		body, n := d.counted("]")
		return append(diagHead(4, n, -1), body...)
	case d.eat("{_"):
		return d.sequence(append([]byte{0xbf}, d.list("}")...))
	case d.eat("{"):
		body, n := d.counted("}")
		return append(diagHead(5, n, -1), body...)
	case d.eat("(_"):
		body := d.list(")")
		return d.sequence(append([]byte{body[0]&0xe0 | 31}, body...))
	case d.eat("simple("):
		n, _ := strconv.Atoi(d.until(")"))
		return diagHead(7, uint64(n), -1)
	}
	for i, word := range []string{"false", "true", "null", "undefined"} {
		if d.eat(word) {
			return []byte{0xf4 + byte(i)}
		}
	}
	return d.number()
}

func (d *diagParser) sequence(b []byte) []byte { return append(b, 0xff) }

func (d *diagParser) list(end string) []byte {
	body, _ := d.counted(end)
	return body
}

// counted takes elements up to end. A pair is one element.
func (d *diagParser) counted(end string) (body []byte, n uint64) {
	for !d.eat(end) {
		if n > 0 {
			d.must(",")
		}
		body = append(body, d.item()...)
		if d.eat(":") {
			body = append(body, d.item()...)
		}
		n++
	}
	return body, n
}

func (d *diagParser) text() []byte {
	quoted, err := strconv.QuotedPrefix(`"` + d.s)
	if err != nil {
		panic(err)
	}
	d.s = d.s[len(quoted)-1:]
	text, err := strconv.Unquote(quoted)
	if err != nil {
		panic(err)
	}
	return append(diagHead(3, uint64(len(text)), -1), text...)
}

// number takes an integer, perhaps with an encoding indicator as in 1_2, a tag
// as in 6(...), or a number with a point, which becomes double precision.
func (d *diagParser) number() []byte {
	end := strings.IndexFunc(d.s, func(r rune) bool { return !strings.ContainsRune("-.0123456789", r) })
	if end < 0 {
		end = len(d.s)
	}
	digits := d.s[:end]
	d.s = d.s[end:]
	if strings.Contains(digits, ".") {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			panic(err)
		}
		return binary.BigEndian.AppendUint64([]byte{0xfb}, math.Float64bits(f))
	}
	major, width := byte(0), -1
	if strings.HasPrefix(digits, "-") {
		major, digits = 1, digits[1:]
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		panic(err)
	}
	if major == 1 {
		n--
	}
	if strings.HasPrefix(d.s, "_") {
		width = int(d.s[1] - '0')
		d.s = d.s[2:]
	}
	if d.eat("(") {
		content := d.item()
		d.must(")")
		return append(diagHead(6, n, width), content...)
	}
	return diagHead(major, n, width)
}

// diagHead encodes a head with an argument of 1<<width bytes, or the shortest
// one if width is negative.
func diagHead(major byte, n uint64, width int) []byte {
	switch {
	case width < 0 && n < 24:
		return []byte{major<<5 | byte(n)}
	case width < 0 && n <= math.MaxUint8:
		width = 0
	case width < 0 && n <= math.MaxUint16:
		width = 1
	case width < 0 && n <= math.MaxUint32:
		width = 2
	case width < 0:
		width = 3
	}
	full := binary.BigEndian.AppendUint64(nil, n)
	return append([]byte{major<<5 | 24 + byte(width)}, full[8-1<<width:]...)
}

func TestDiag(t *testing.T) {
	// Examples of RFC 8949 appendix A.
	for diag, want := range map[string]string{
		"0":                          "00",
		"24":                         "1818",
		"1000000":                    "1a000f4240",
		"18446744073709551615":       "1bffffffffffffffff",
		"-10":                        "29",
		"1.1":                        "fb3ff199999999999a",
		"false":                      "f4",
		"undefined":                  "f7",
		"simple(16)":                 "f0",
		`1("a")`:                     "c16161",
		"h'01020304'":                "4401020304",
		`"\u00fc"`:                   "62c3bc",
		"[1, [2, 3], [4, 5]]":        "8301820203820405",
		`{"a": 1, "b": [2, 3]}`:      "a26161016162820203",
		`(_ "strea", "ming")`:        "7f657374726561646d696e67ff",
		"[_ 1, [2, 3], [_ 4, 5]]":    "9f018202039f0405ffff",
		`{_ "Fun": true, "Amt": -2}`: "bf6346756ef563416d7421ff",
		"1_1":                        "190001",
	} {
		got, err := encodeDiag(diag)
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s is %x, %v; want %s", diag, got, err, want)
		}
	}
}
