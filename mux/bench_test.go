package mux_test

import (
	"context"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// BenchmarkThroughput moves blocks over one stream, and in turns the same over the raw connection, so that both see
// the machine in the same mood. ratio is mux / raw.
func BenchmarkThroughput(b *testing.B) {
	const block = 16 << 20
	for _, n := range muxtest.Networks() {
		for _, size := range []int{32 << 10, mux.FrameSize, 64 << 10, 256 << 10} {
			b.Run(n.Name+"/write="+strconv.Itoa(size), func(b *testing.B) {
				rawW, rawR := n.Pair(b)
				e := connect(b, n, nil, nil)
				w, r := e.up()
				beside(b, "raw", func() time.Duration { return move(b, rawW, rawR, 64<<10, block) }, block,
					func() time.Duration { return move(b, w, r, size, block) })
			})
		}
	}
}

// beside moves blocks both ways in turns, and reports the rates and their ratio.
func beside(b *testing.B, name string, other func() time.Duration, block int, ours func() time.Duration) {
	var raw, muxed time.Duration
	b.ResetTimer()
	for range b.N {
		raw += other()
		muxed += ours()
	}
	mb := float64(b.N) * float64(block) / 1e6
	b.ReportMetric(mb/raw.Seconds(), name+"-MB/s")
	b.ReportMetric(mb/muxed.Seconds(), "mux-MB/s")
	b.ReportMetric(raw.Seconds()/muxed.Seconds(), "ratio")
}

// move writes about total bytes in writes of size bytes, reads them with 128 KiB at a time, and says how long it took.
func move(b *testing.B, w io.Writer, r io.Reader, size, total int) time.Duration {
	total -= total % size
	start := time.Now()
	read := async(func() error {
		var err error
		buf := make([]byte, 128<<10)
		for n, left := 0, total; left > 0 && err == nil; left -= n {
			n, err = r.Read(buf[:min(len(buf), left)])
		}
		return err
	})
	buf := make([]byte, size)
	for range total / size {
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-read; err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkPingPong sends 64 bytes there and back, over two streams and over the raw connection.
func BenchmarkPingPong(b *testing.B) {
	for _, n := range muxtest.Networks() {
		b.Run(n.Name+"/raw", func(b *testing.B) {
			c, s := n.Pair(b)
			pingPong(b, c, c, s, s)
		})
		b.Run(n.Name+"/mux", func(b *testing.B) {
			e := connect(b, n, nil, nil)
			upW, upR := e.up()
			downR, downW := e.down()
			pingPong(b, upW, downR, downW, upR)
		})
	}
}

func pingPong(b *testing.B, cw io.Writer, cr io.Reader, sw io.Writer, sr io.Reader) {
	echo := func(w io.Writer, r io.Reader, rounds int) error {
		buf := make([]byte, 64)
		for range rounds {
			if _, err := io.ReadFull(r, buf); err != nil {
				return err
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	}
	b.ReportAllocs()
	b.ResetTimer()
	server := async(func() error { return echo(sw, sr, b.N) })
	if _, err := cw.Write(make([]byte, 64)); err != nil {
		b.Fatal(err)
	}
	if err := echo(cw, cr, b.N-1); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(cr, make([]byte, 64)); err != nil {
		b.Fatal(err)
	}
	if err := <-server; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpenClose is one stream's life: opened, announced, taken, 16 bytes, ended in both directions.
func BenchmarkOpenClose(b *testing.B) {
	for _, n := range muxtest.Networks() {
		b.Run(n.Name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			e := connect(b, n, nil, nil)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w, err := e.client.OpenSend(ctx)
				must(b, err)
				r, err := e.server.TakeReceive(e.announce(w.ID()))
				must(b, err)
				if _, err := w.Write(make([]byte, 16)); err != nil {
					b.Fatal(err)
				}
				must(b, w.CloseWrite())
				if _, err := io.ReadAll(r); err != nil {
					b.Fatal(err)
				}
				<-w.Stopped()
			}
		})
	}
}
