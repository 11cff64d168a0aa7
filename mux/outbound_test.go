package mux

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
)

// serve returns a server's guard that has seen the streams opened, and the connection under it.
func serve(t *testing.T, ids ...uint32) (*guard, *script) {
	conn := &script{}
	g := testGuard(t, conn, true)
	for _, id := range ids {
		if _, err := g.observe(enc(syn(id))); err != nil {
			t.Fatal(err)
		}
	}
	return g, conn
}

// put writes frames as yamux does: a header, then a body.
func put(g *guard, frames ...frame) error {
	for _, f := range frames {
		b := enc(f)
		if n, err := g.Write(b[:headerSize]); n != headerSize || err != nil {
			return err
		}
		if f.bodyLen() == 0 {
			continue
		}
		if n, err := g.Write(b[headerSize:]); n != int(f.bodyLen()) || err != nil {
			return err
		}
	}
	return nil
}

// sent parses what the connection got.
func (c *script) sent() (frames []frame) {
	for b := bytes.Join(c.wrote, nil); len(b) > 0; {
		f := parseFrame(b)
		frames = append(frames, f)
		b = b[headerSize+int(f.bodyLen()):]
	}
	return frames
}

func TestTrapE2HeaderLeavesWithItsBody(t *testing.T) {
	// Stock yamux writes 12 bytes and the body apart: a system call, a segment and a TLS record more for each frame.
	g, conn := serve(t, 1)
	for i := range 3 {
		if err := put(g, body(1, 100)); err != nil {
			t.Fatal(err)
		}
		if len(conn.wrote) != i+1 || len(conn.wrote[i]) != headerSize+100 {
			t.Fatalf("after %d frames: %d writes", i+1, len(conn.wrote))
		}
	}
	if err := put(g, grant(1, 5)); err != nil || len(conn.wrote) != 4 {
		t.Fatalf("a header without a body did not leave at once: %v", err)
	}
}

func TestHeaderAndBodyByVector(t *testing.T) {
	conn := &vectorConn{}
	g := testGuard(t, conn, true)
	g.observe(enc(syn(1)))
	data := bytes.Repeat([]byte{7}, 1000)
	if _, err := g.Write(enc(body(1, 1000))[:headerSize]); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Write(data); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	want := slices.Concat(enc(body(1, 1000).with(flagACK))[:headerSize], data)
	if conn.calls != 1 || !bytes.Equal(conn.got, want) {
		t.Fatalf("%d calls, %d bytes", conn.calls, len(conn.got))
	}
}

type vectorConn struct {
	script
	calls int
	got   []byte
}

func (c *vectorConn) WriteBuffers(b *net.Buffers) (int64, error) {
	c.calls++
	for _, part := range *b {
		c.got = append(c.got, part...)
	}
	return int64(len(c.got)), nil
}

func TestGuardAcknowledgesOnce(t *testing.T) {
	tests := map[string]struct {
		out  []frame
		want []uint16
	}{
		"yamux does":       {seq(ack(3), body(3, 1), fin(3)), []uint16{flagACK, 0, flagFIN}},
		"data is first":    {seq(body(3, 1), body(3, 1)), []uint16{flagACK, 0}},
		"update is first":  {seq(grant(3, 1), fin(3)), []uint16{flagACK, flagFIN}},
		"the end is first": {seq(fin(3)), []uint16{flagACK | flagFIN}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g, conn := serve(t, 1, 3)
			if err := put(g, tt.out...); err != nil {
				t.Fatal(err)
			}
			var flags []uint16
			for _, f := range conn.sent() {
				flags = append(flags, f.flags)
			}
			if !slices.Equal(flags, tt.want) {
				t.Fatalf("flags %v, want %v", flags, tt.want)
			}
		})
	}
}

func TestClientDoesNotAcknowledge(t *testing.T) {
	conn := &script{}
	g := testGuard(t, conn, false)
	put(g, syn(1), body(1, 3))
	if sent := conn.sent(); sent[0].flags != flagSYN || sent[1].flags != 0 {
		t.Fatalf("sent %v", sent)
	}
}

func TestNoWindowUpdateAfterStop(t *testing.T) {
	g, conn := serve(t, 1, 3)
	put(g, grant(3, 5), fin(3), grant(3, 7), grant(3, 9))
	if sent := conn.sent(); len(sent) != 2 || !sent[1].has(flagFIN) {
		t.Fatalf("sent %v", sent)
	}
	g.observe(enc(fin(3)))
	put(g, grant(3, 7))
	if len(conn.sent()) != 2 {
		t.Fatal("a window update left for a stream that is over")
	}
	// The control stream is read on after its other direction has ended.
	put(g, fin(1), grant(1, 7))
	if sent := conn.sent(); len(sent) != 4 || sent[3].length != 7 {
		t.Fatalf("sent %v", sent)
	}
}

func TestDataAfterEndNeverLeaves(t *testing.T) {
	g, conn := serve(t, 1, 3)
	put(g, fin(3))
	if err := put(g, body(3, 1)); !errors.Is(err, errDataAfterEnd) {
		t.Fatalf("error %v", err)
	}
	if len(conn.sent()) != 1 {
		t.Fatal("data followed a FIN")
	}
}

func TestTrapC8GoAwayNeverLeaves(t *testing.T) {
	// yamux sends GoAway when it finds a fault of the peer; rex's protocol has no such frame.
	g, conn := serve(t, 1)
	put(g, frame{kind: kindGoAway, length: 1})
	if _, ok := errors.AsType[*ViolationError](g.ended()); !ok || len(conn.wrote) != 0 {
		t.Fatalf("ended by %v, %d writes", g.ended(), len(conn.wrote))
	}
}

func TestMutedGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, conn := serve(t, 1, 3)
		if err := g.closeWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := put(g, grant(1, 5), fin(3), frame{kind: kindPing, flags: flagACK}); err != nil || len(conn.wrote) != 0 {
			t.Fatalf("%v, %d writes", err, len(conn.wrote))
		}
		if g.finSent(g.lookup(3)) {
			t.Error("a FIN that was swallowed counts as sent")
		}
		done := make(chan error, 1)
		go func() { done <- put(g, body(1, 1)) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("data was accepted: %v", err)
		default:
		}
		g.fail(io.EOF)
		if err := <-done; err != io.EOF {
			t.Fatalf("error %v", err)
		}
	})
}

func TestMutedBetweenHeaderAndBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, conn := serve(t, 1)
		b := enc(body(1, 5))
		g.Write(b[:headerSize])
		g.closeWrite(t.Context())
		done := make(chan error, 1)
		go func() { _, err := g.Write(b[headerSize:]); done <- err }()
		synctest.Wait()
		g.fail(io.EOF)
		if err := <-done; err != io.EOF || len(conn.wrote) != 0 {
			t.Fatalf("%v, %d writes", err, len(conn.wrote))
		}
	})
}
