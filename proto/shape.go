package proto

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// The major types of CBOR (RFC 8949 section 3.1), and the two simple values
// that the protocol uses.
const (
	majorUint  = 0
	majorBytes = 2
	majorText  = 3
	majorArray = 4
	majorMap   = 5
	majorTag   = 6
	majorOther = 7 // floating-point numbers and simple values

	simpleFalse = 20
	simpleTrue  = 21
)

// checkShape reports whether body is one CBOR item that the tables of kinds.go
// allow, and nothing more. It allocates nothing for a good one, so that the
// decoder after it can trust every length and count.
func checkShape(body []byte) error {
	w := walker{rest: body}
	w.message()
	if w.bad == "" && len(w.rest) > 0 {
		w.fail("%d trailing bytes", len(w.rest))
	}
	if w.bad != "" {
		return &FrameError{Reason: w.bad}
	}
	return nil
}

// A walker goes through an item from front to back. The first thing wrong is
// kept in bad; every method does nothing and returns zero after it.
type walker struct {
	rest []byte
	bad  string
}

func (w *walker) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
		w.rest = nil
	}
}

// in says what was being looked at when something went wrong.
func (w *walker) in(name string) {
	if w.bad != "" {
		w.bad = name + ": " + w.bad
	}
}

func (w *walker) message() {
	size := len(w.rest)
	if n := w.head(majorMap, "a map"); w.bad == "" && n != 1 {
		w.fail("a message has exactly one kind, not %d", n)
	}
	name := w.str(majorText, "a text")
	if w.bad != "" {
		return
	}
	k := kindNamed(string(name))
	if k == nil {
		w.fail("unknown kind %s", quote(name))
		return
	}
	if size > k.frame {
		w.fail("frame of %d bytes exceeds %d", size, k.frame)
	}
	w.fields(k.fields)
	w.in(k.name)
}

// fields checks a map against its fields: each known, at most once, and all
// required ones there.
func (w *walker) fields(fields []field) {
	var seen uint64
	for range w.head(majorMap, "a map") {
		name := w.str(majorText, "a text")
		if w.bad != "" {
			return
		}
		i := indexOf(fields, name)
		switch {
		case i < 0:
			w.fail("unknown field %s", quote(name))
		case seen&(1<<i) != 0:
			w.fail("field %s is there twice", quote(name))
		default:
			seen |= 1 << i
			w.value(&fields[i])
			w.in(fields[i].name)
		}
	}
	for i := range fields {
		if fields[i].required && seen&(1<<i) == 0 {
			w.fail("%s is missing", fields[i].name)
		}
	}
}

func indexOf(fields []field, name []byte) int {
	for i := range fields {
		if fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (w *walker) value(f *field) {
	switch f.typ {
	case typeUint:
		w.number(f.min, f.max)
	case typeBool:
		w.head(majorOther, "a boolean")
	case typeText:
		w.text(f)
	case typeBytes:
		w.bytes(f)
	case typeTexts:
		w.elements(f, majorArray, "an array of texts")
	case typeBytesList:
		w.elements(f, majorArray, "an array of byte strings")
	case typeUints:
		w.elements(f, majorArray, "an array of integers")
	case typeModes:
		w.elements(f, majorMap, "a map")
	case typeMap:
		w.fields(f.fields)
	}
}

// elements checks an array or a map of one sort of elements. The count is
// checked before any of them, and every one takes at least a byte of the frame.
func (w *walker) elements(f *field, major byte, want string) {
	n := w.head(major, want)
	if n > f.count {
		w.fail("%d elements exceed %d", n, f.count)
	}
	for i := uint64(0); i < n && w.bad == ""; i++ {
		switch f.typ {
		case typeTexts:
			w.text(f)
		case typeUints:
			w.number(f.min, f.max)
		case typeModes:
			w.text(f)
			w.number(0, math.MaxUint32)
		default:
			w.bytes(f)
		}
	}
}

func (w *walker) number(least, most uint64) {
	n := w.head(majorUint, "an unsigned integer")
	if w.bad == "" && (n < least || n > most) {
		w.fail("%d is not between %d and %d", n, least, most)
	}
}

func (w *walker) bytes(f *field) {
	w.length(f, w.str(majorBytes, "a byte string"))
}

func (w *walker) text(f *field) {
	s := w.str(majorText, "a text")
	w.length(f, s)
	if w.bad != "" {
		return
	}
	if f.oneOf != nil && !slices.Contains(f.oneOf, string(s)) {
		w.fail("unknown value %s", quote(s))
	}
	if f.chars != nil && slices.ContainsFunc(s, func(c byte) bool { return !f.chars(c) }) {
		w.fail("bad character in %s", quote(s))
	}
}

func (w *walker) length(f *field, s []byte) {
	if n := uint64(len(s)); w.bad == "" && (n < f.min || n > f.max) {
		w.fail("%d bytes are not between %d and %d", n, f.min, f.max)
	}
}

// str takes a text or byte string.
func (w *walker) str(major byte, want string) []byte {
	n := w.head(major, want)
	if n > uint64(len(w.rest)) {
		w.fail("truncated: %d bytes announced, %d left", n, len(w.rest))
		return nil
	}
	s := w.rest[:n]
	w.rest = w.rest[n:]
	if major == majorText && !utf8.Valid(s) {
		w.fail("text %s is not UTF-8", quote(s))
	}
	return s
}

// head takes the head of an item (RFC 8949 section 3), which must be of the
// given major type, and returns its argument.
func (w *walker) head(major byte, want string) uint64 {
	if w.bad != "" {
		return 0
	}
	if len(w.rest) == 0 {
		w.fail("truncated: %s is missing", want)
		return 0
	}
	got, info := w.rest[0]>>5, w.rest[0]&31
	w.rest = w.rest[1:]
	switch {
	case got == majorTag:
		w.fail("tags are not used")
	case got == majorOther && (major != majorOther || info != simpleFalse && info != simpleTrue):
		w.fail("expected %s, not a null, a float or a simple value", want)
	case got != major:
		w.fail("expected %s", want)
	case info == 31:
		w.fail("indefinite lengths are not used")
	case info > 27:
		w.fail("malformed: reserved additional information %d", info)
	case info < 24:
		return uint64(info)
	default:
		return w.argument(1 << (info - 24))
	}
	return 0
}

// argument takes the argument of a head from the bytes that follow it.
func (w *walker) argument(size int) uint64 {
	if len(w.rest) < size {
		w.fail("truncated: an argument of %d bytes, %d left", size, len(w.rest))
		return 0
	}
	var n uint64
	for _, b := range w.rest[:size] {
		n = n<<8 | uint64(b)
	}
	w.rest = w.rest[size:]
	return n
}
