package mux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// script is a connection that gives prepared bytes, at most step at a time, and then err.
type script struct {
	in    []byte
	step  int
	err   error
	wrote [][]byte
}

func (c *script) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, c.err
	}
	if c.step > 0 && len(p) > c.step {
		p = p[:c.step]
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *script) Write(p []byte) (int, error) {
	c.wrote = append(c.wrote, bytes.Clone(p))
	return len(p), nil
}

func (c *script) Close() error { return nil }

// testGuard is a guard whose clock stands still.
func testGuard(t testing.TB, conn io.ReadWriteCloser, server bool) *guard {
	cfg, err := (*Config)(nil).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(conn, server, &cfg)
	g.now = func() time.Time { return time.Unix(1e9, 0) }
	t.Cleanup(func() { g.fail(ErrClosed) })
	return g
}

func enc(f frame) []byte {
	b := make([]byte, headerSize, headerSize+int(f.bodyLen()))
	f.put(b)
	return append(b, make([]byte, f.bodyLen())...)
}

func syn(id uint32) frame            { return frame{kind: kindWindow, flags: flagSYN, id: id} }
func fin(id uint32) frame            { return frame{kind: kindWindow, flags: flagFIN, id: id} }
func ack(id uint32) frame            { return frame{kind: kindWindow, flags: flagACK, id: id} }
func grant(id, n uint32) frame       { return frame{kind: kindWindow, id: id, length: n} }
func body(id, n uint32) frame        { return frame{kind: kindData, id: id, length: n} }
func (f frame) with(fl uint16) frame { f.flags |= fl; return f }
func repeat(n int, f frame) []frame  { return bytesOf(n, func(int) frame { return f }) }
func syns(n int, from uint32) []frame {
	return bytesOf(n, func(i int) frame { return syn(from + 2*uint32(i)) })
}

func bytesOf(n int, f func(i int) frame) (frames []frame) {
	for i := range n {
		frames = append(frames, f(i))
	}
	return frames
}

func seq(parts ...any) (frames []frame) {
	for _, p := range parts {
		switch p := p.(type) {
		case frame:
			frames = append(frames, p)
		case []frame:
			frames = append(frames, p...)
		}
	}
	return frames
}

// inboundCases: what a peer sends, and the rule it breaks with its last frame; "" for none. opened is how many streams
// this end has opened before, as a client.
var inboundCases = []struct {
	name   string
	server bool
	opened int
	frames []frame
	want   string
}{
	{"a stream's life", true, 0, seq(syn(1), syn(3), body(3, 1000), fin(3)), ""},
	{"ids may skip", true, 0, seq(syn(1), syn(7), syn(9)), ""},
	{"data in the first frame", true, 0, seq(syn(1), body(3, 5).with(flagSYN), fin(3)), ""},
	{"empty data", true, 0, seq(syn(1), body(1, 0), body(1, 0).with(flagFIN)), ""},
	{"a full window", true, 0, seq(syn(1), body(1, 200<<10), body(1, 56<<10)), ""},
	{"acknowledgement and data", false, 2, seq(ack(1), ack(3), body(3, 10), fin(3)), ""},
	{"acknowledgement in data", false, 1, seq(body(1, 10).with(flagACK), body(1, 10)), ""},
	{"end without acknowledgement", false, 1, seq(fin(1)), ""},
	{"updates after an end", true, 0, seq(syn(1), fin(1), repeat(budgetBurst, grant(1, 1))), ""},
	{"the largest window", true, 0, seq(syn(1), grant(1, 1<<32-1-initialWindow)), ""},
	{"updates while open are free", true, 0, seq(syn(1), repeat(1000, grant(1, 1))), ""},
	{"empty frames in budget", true, 0, seq(syn(1), repeat(budgetBurst/2, body(1, 0)), repeat(budgetBurst/2, grant(1, 0))), ""},
	{"empty frames with flags are free", true, 0, seq(repeat(budgetBurst, frame{kind: kindPing}), syn(1), body(3, 0).with(flagSYN), fin(1), body(3, 0).with(flagFIN)), ""},
	{"empty acknowledgements are free", false, 2, seq(repeat(budgetBurst, frame{kind: kindPing}), ack(1), body(3, 0).with(flagACK)), ""},
	{"pings in budget", true, 0, repeat(budgetBurst, frame{kind: kindPing, flags: flagSYN}), ""},
	{"most streams at once", true, 0, syns(defaultMaxStreams, 1), ""},
	{"streams that end make no room alone", true, 0, seq(syn(1), fin(1)), ""},

	{"version", true, 0, seq(frame{version: 1}), "unknown frame version"},
	{"type", true, 0, seq(frame{kind: 4}), "unknown frame type"},
	{"flag", true, 0, seq(syn(1), grant(1, 0).with(1<<4)), "unknown frame flags"},
	{"go away", true, 0, seq(frame{kind: kindGoAway}), "go away"},
	{"go away to the client", false, 1, seq(frame{kind: kindGoAway}), "go away"},
	{"reset", true, 0, seq(syn(1), grant(1, 0).with(flagRST)), "stream reset"},
	{"reset of nothing", false, 0, seq(grant(9, 0).with(flagRST)), "stream reset"},
	{"ping flood", true, 0, repeat(budgetBurst+1, frame{kind: kindPing, flags: flagSYN}), "flood"},
	{"pong flood", false, 0, repeat(budgetBurst+1, frame{kind: kindPing, flags: flagACK}), "flood"},
	{"update flood after an end", true, 0, seq(syn(1), fin(1), repeat(budgetBurst+1, grant(1, 1))), "flood"},
	{"empty data flood", true, 0, seq(syn(1), repeat(budgetBurst+1, body(1, 0))), "flood"},
	{"empty update flood", true, 0, seq(syn(1), repeat(budgetBurst+1, grant(1, 0))), "flood"},
	{"empty flood from the server", false, 1, repeat(budgetBurst+1, body(1, 0)), "flood"},
	{"one budget for all", true, 0, seq(syn(1), repeat(budgetBurst, body(1, 0)), frame{kind: kindPing}), "flood"},
	{"one budget for both", true, 0, seq(syn(1), fin(1), repeat(budgetBurst, grant(1, 1)), frame{kind: kindPing}), "flood"},

	{"stream from the server", false, 1, seq(syn(2)), "opened by the server"},
	{"odd stream from the server", false, 1, seq(syn(3)), "opened by the server"},
	{"even id", true, 0, seq(syn(2)), "even, used before or out of order"},
	{"id 0", true, 0, seq(syn(0)), "even, used before or out of order"},
	{"id again", true, 0, seq(syn(1), syn(1)), "even, used before or out of order"},
	{"decreasing id", true, 0, seq(syn(5), syn(3)), "even, used before or out of order"},
	{"too many streams", true, 0, syns(defaultMaxStreams+1, 1), "too many streams"},
	{"data beyond the window", true, 0, seq(syn(1), body(1, 200<<10), body(1, 56<<10+1)), "beyond the window"},
	{"huge data", true, 0, seq(syn(1), frame{kind: kindData, id: 1, length: 1<<32 - 1}), "beyond the window"},
	{"window overflow", true, 0, seq(syn(1), grant(1, 1<<32-1-initialWindow), grant(1, 1)), "window overflow"},
	{"window overflow in one", false, 1, seq(grant(1, 1<<32-1)), "window overflow"},
	{"data on no stream", true, 0, seq(syn(1), body(3, 1)), "never opened"},
	{"data on an even id", true, 0, seq(syn(5), body(4, 1)), "never opened"},
	{"data on id 0", false, 1, seq(body(0, 1)), "never opened"},
	{"update on no stream", false, 1, seq(grant(3, 1)), "never opened"},
	{"end on no stream", false, 1, seq(fin(3)), "never opened"},
	{"data after the end", true, 0, seq(syn(1), fin(1), body(1, 1)), "after the end"},
	{"empty data after the end", true, 0, seq(syn(1), fin(1), body(1, 0)), "after the end"},
	{"second end", true, 0, seq(syn(1), fin(1), fin(1)), "after the end"},
	{"open after the end", true, 0, seq(syn(1), fin(1), syn(1)), "used before"},
	{"acknowledgement after the end", false, 1, seq(fin(1), ack(1)), "after the end"},
	{"data with an end", true, 0, seq(syn(1), body(1, 1).with(flagFIN)), "data and end in one frame"},
	{"acknowledgement from the client", true, 0, seq(syn(1), ack(1)), "needs none"},
	{"acknowledgement while opening", true, 0, seq(syn(1).with(flagACK)), "needs none"},
	{"second acknowledgement", false, 1, seq(ack(1), ack(1)), "needs none"},
}

// play feeds frames to a new guard, step bytes at a time, and returns what yamux would have got before the error.
func play(t testing.TB, server bool, opened int, in []byte, step, buffer int) (*guard, []byte, error) {
	g := testGuard(t, &script{in: in, step: step, err: io.EOF}, server)
	for _, f := range syns(opened, 1) {
		if _, err := g.Write(enc(f)); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	buf := make([]byte, buffer)
	for {
		n, err := g.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return g, got, err
		}
	}
}

func TestGuardInbound(t *testing.T) {
	for _, tt := range inboundCases {
		t.Run(tt.name, func(t *testing.T) {
			var in []byte
			last := 0
			for _, f := range tt.frames {
				last = len(in)
				if f.bodyLen() > 1<<20 { // its header says enough
					in = append(in, make([]byte, headerSize)...)
					f.put(in[last:])
					continue
				}
				in = append(in, enc(f)...)
			}
			for _, step := range []int{0, 1, 5, 12, 13, 4096} {
				_, got, err := play(t, tt.server, tt.opened, in, step, 4096)
				if tt.want == "" {
					if err != io.EOF || !bytes.Equal(got, in) {
						t.Fatalf("step %d: %d of %d bytes, %v", step, len(got), len(in), err)
					}
					continue
				}
				broken, ok := errors.AsType[*ViolationError](err)
				if !ok || !bytes.Contains([]byte(broken.Reason), []byte(tt.want)) {
					t.Fatalf("step %d: error %v, want a violation: %s", step, err, tt.want)
				}
				// Everything before the frame passes; of its header at most what came before the last byte.
				if len(got) < last || len(got) >= last+headerSize {
					t.Fatalf("step %d: %d bytes passed, the bad frame starts at %d", step, len(got), last)
				}
			}
		})
	}
}

func TestGuardAgainstDirection(t *testing.T) {
	for _, order := range []string{"claim first", "data first"} {
		t.Run(order, func(t *testing.T) {
			g := testGuard(t, &script{}, true)
			must := func(frames ...frame) error {
				for _, f := range frames {
					if _, err := g.observe(enc(f)); err != nil {
						return err
					}
				}
				return nil
			}
			if err := must(syn(1), syn(3)); err != nil {
				t.Fatal(err)
			}
			claim := func() error { _, err := g.claim(g.lookup(3), sending, &SendStream{}); return err }
			data := func() error { return must(body(3, 1)) }
			first, second := claim, data
			if order == "data first" {
				first, second = data, claim
			}
			if err := first(); err != nil {
				t.Fatal(err)
			}
			if _, ok := errors.AsType[*ViolationError](second()); !ok {
				t.Fatal("data in the unused direction is no violation")
			}
		})
	}
}

func TestGuardWindowGrowsWithUpdatesSent(t *testing.T) {
	g := testGuard(t, &script{}, true)
	feed := func(f frame) error { _, err := g.observe(enc(f)); return err }
	if err := errors.Join(feed(syn(1)), feed(body(1, initialWindow))); err != nil {
		t.Fatal(err)
	}
	g.Write(enc(grant(1, 100)))
	if err := feed(body(1, 100)); err != nil {
		t.Fatal(err)
	}
	if err := feed(body(1, 1)); err == nil {
		t.Fatal("a byte beyond what was granted is no violation")
	}
}

func TestGuardEndOfConnection(t *testing.T) {
	broken := errors.New("broken")
	whole := enc(body(1, 10))
	for n := 0; n <= len(whole); n++ {
		in := append(enc(syn(1)), whole[:n]...)
		_, _, err := play(t, true, 0, in, 0, 4096)
		edge := n == 0 || n == len(whole)
		if edge != (err == io.EOF) || !edge && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("end after %d bytes of a frame of %d: %v", n, len(whole), err)
		}
	}
	g := testGuard(t, &script{err: broken}, true)
	if _, err := g.Read(make([]byte, 10)); !errors.Is(err, broken) {
		t.Errorf("error %v does not wrap the connection's", err)
	}
	if _, err := g.Read(make([]byte, 10)); !errors.Is(err, broken) {
		t.Errorf("error %v the second time", err)
	}
}

// FuzzGuard: random bytes never make the guard panic or keep more than the streams it allows, and how the bytes are
// cut into reads never changes what passes and what is found.
func FuzzGuard(f *testing.F) {
	for _, tt := range inboundCases {
		var in []byte
		for _, fr := range tt.frames {
			if len(in) < 4096 && fr.length < 1024 {
				in = append(in, enc(fr)...)
			}
		}
		f.Add(tt.server, uint8(tt.opened), in, uint16(5))
	}
	f.Fuzz(func(t *testing.T, server bool, opened uint8, in []byte, step uint16) {
		if server {
			opened = 0
		}
		whole, all, err1 := play(t, server, int(opened), in, 0, len(in)+1)
		_, parts, err2 := play(t, server, int(opened), in, int(step%64)+1, 4096)
		if fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Fatalf("in one read %v, in steps %v", err1, err2)
		}
		if len(parts) < len(all) || len(parts) >= len(all)+headerSize || !bytes.HasPrefix(in, parts) {
			t.Fatalf("in one read %d bytes pass, in steps %d", len(all), len(parts))
		}
		if n := whole.numStreams(); n > defaultMaxStreams {
			t.Fatalf("%d streams", n)
		}
	})
}
