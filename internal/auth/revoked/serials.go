package revoked

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
)

// maxBitmap bounds one, in bytes, as OpenSSH does.
const maxBitmap = 1 << 21

// certs are the revoked certificates of an authority.
type certs struct {
	ids     map[string]bool
	ranges  []serials // in order and apart after merge
	bitmaps []bitmap
}

// serials are the numbers from lo to hi, both included.
type serials struct{ lo, hi uint64 }

// A bitmap is a big-endian number, whose bit i stands for serial base+i. It
// stays one: as numbers it could be hundreds of times as long.
type bitmap struct {
	base uint64
	bits []byte
}

// addRange adds what was read, unless the reader has failed. No certificate can
// be revoked by the number 0, which those have that got none.
func (c *certs) addRange(r *reader, lo, hi uint64) error {
	switch {
	case r.err != nil:
		return r.err
	case lo == 0:
		return errSerial
	case lo > hi:
		return errRange
	}
	c.ranges = append(c.ranges, serials{lo, hi})
	return nil
}

func (c *certs) addBitmap(r *reader, base uint64, set []byte) error {
	if r.err != nil {
		return r.err
	}
	if len(set) > maxBitmap || len(set) > 0 && set[0] >= 0x80 { // negative
		return errBitmap
	}
	b := bitmap{base, bytes.Clone(bytes.TrimLeft(set, "\x00"))}
	switch n := b.len(); {
	case n > 0 && base+(n-1) < base:
		return errBitmap
	case b.has(0):
		return errSerial
	}
	c.bitmaps = append(c.bitmaps, b)
	return nil
}

// len is the number of bits up to the highest that is set.
func (b bitmap) len() uint64 {
	if len(b.bits) == 0 {
		return 0
	}
	return uint64(8*(len(b.bits)-1) + bits.Len8(b.bits[0]))
}

func (b bitmap) has(serial uint64) bool {
	if serial < b.base || serial-b.base >= b.len() {
		return false
	}
	i := serial - b.base
	return b.bits[uint64(len(b.bits))-1-i/8]>>(i%8)&1 != 0
}

// merge puts the ranges in order and joins those that overlap.
func (c *certs) merge() {
	slices.SortFunc(c.ranges, func(a, b serials) int { return cmp.Compare(a.lo, b.lo) })
	merged := c.ranges[:0]
	for _, s := range c.ranges {
		if n := len(merged); n > 0 && s.lo <= merged[n-1].hi {
			merged[n-1].hi = max(merged[n-1].hi, s.hi)
		} else {
			merged = append(merged, s)
		}
	}
	c.ranges = merged
}

// hasSerial reports whether a number is revoked, 0 never.
func (c *certs) hasSerial(serial uint64) bool {
	_, found := slices.BinarySearchFunc(c.ranges, serial, func(s serials, serial uint64) int {
		switch {
		case s.hi < serial:
			return -1
		case s.lo > serial:
			return 1
		}
		return 0
	})
	return found || slices.ContainsFunc(c.bitmaps, func(b bitmap) bool { return b.has(serial) })
}
