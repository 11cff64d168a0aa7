package mux_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestDataBothWays(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		data := random(amount(3 << 20)) // more than a window
		for _, dir := range []string{"up", "down"} {
			var w io.Writer
			var r io.Reader
			var end func() error
			if dir == "up" {
				ws, rs := e.up()
				w, r, end = ws, rs, ws.CloseWrite
			} else {
				rs, ws := e.down()
				w, r, end = ws, rs, ws.CloseWrite
			}
			go func() {
				w.Write(data)
				end()
			}()
			got, err := io.ReadAll(r)
			must(t, err)
			sameBytes(t, got, data)
		}
		e.onlyControl()
		e.alive()
	})
}

func TestNoSmallFrameWhenTheWindowIsNearlyFull(t *testing.T) {
	// Four frames leave 64 bytes of the window. To send these alone costs as much as a full frame, every time.
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Memory().Pair(t)
		tap := muxtest.NewTap(c)
		e := join(t, tap, s, nil, nil)
		w, r := e.up()
		wrote := async(func() error {
			_, err := w.Write(make([]byte, 5*mux.FrameSize))
			return errors.Join(err, w.CloseWrite())
		})
		time.Sleep(time.Second)
		frames := 0
		for _, f := range tap.Frames() {
			if f.ID != w.ID() || f.Data() == 0 {
				continue
			}
			if frames++; f.Data() != mux.FrameSize {
				t.Fatalf("a frame of %d bytes", f.Data())
			}
		}
		if frames != 4 {
			t.Fatalf("%d frames", frames)
		}
		if n, err := io.Copy(io.Discard, readerOnly{r}); n != 5*mux.FrameSize || err != nil {
			t.Fatal(n, err)
		}
		must(t, <-wrote)
	})
}
