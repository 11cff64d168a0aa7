package mux_test

import (
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// BenchmarkLink moves blocks over one stream of a session over a link over TLS over TCP, and in turns the same over
// plain TLS, so that both see the machine in the same mood. ratio is mux / TLS.
func BenchmarkLink(b *testing.B) {
	const block = 16 << 20
	for _, direction := range []string{"up", "down"} {
		for _, size := range []int{32 << 10, mux.FrameSize, 64 << 10, 256 << 10} {
			b.Run(direction+"/write="+strconv.Itoa(size), func(b *testing.B) {
				rawW, rawR := muxtest.TLS().Pair(b)
				e := connect(b, muxtest.Link(), nil, nil)
				var w io.Writer
				var r io.Reader
				if direction == "up" {
					w, r = e.up()
				} else {
					r, w = e.down()
					rawW, rawR = rawR, rawW
				}
				beside(b, "tls", func() time.Duration { return move(b, rawW, rawR, 64<<10, block) }, block,
					func() time.Duration { return move(b, w, r, size, block) })
			})
		}
	}
}
