package mux_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestWrongSide(t *testing.T) {
	e := connect(t, muxtest.Memory(), nil, nil)
	_, errs := e.server.OpenControl(t.Context())
	_, err := e.server.OpenSend(t.Context())
	errs = errors.Join(errs, err)
	if _, err := e.server.OpenReceive(t.Context()); err == nil || errs == nil {
		t.Error("the server opens streams")
	}
	_, err1 := e.client.AcceptControl(t.Context())
	_, err2 := e.client.TakeSend(3)
	_, err3 := e.client.TakeReceive(3)
	if err1 == nil || err2 == nil || err3 == nil {
		t.Error("the client takes streams")
	}
	e.alive()
}

func TestControlIsFirstAndOnlyOne(t *testing.T) {
	client, server := muxtest.Pair(t, muxtest.Memory(), nil, nil)
	if _, err := client.OpenSend(t.Context()); err == nil {
		t.Fatal("a stream before the control stream")
	}
	control, err := client.OpenControl(t.Context())
	must(t, err)
	if _, err := client.OpenControl(t.Context()); err == nil {
		t.Fatal("two control streams")
	}
	accepted, err := server.AcceptControl(t.Context())
	must(t, err)
	if accepted.ID() != control.ID() {
		t.Fatalf("ids %d and %d", accepted.ID(), control.ID())
	}
	_, err = server.AcceptControl(timeout(t, 10*time.Millisecond))
	wantErr(t, err, context.DeadlineExceeded)
	_, err = server.TakeReceive(control.ID())
	wantErr(t, err, mux.ErrUnknownStream)
}

func TestControlHalfCloses(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		e.cc.Write([]byte("question"))
		must(t, e.cc.CloseWrite())
		got, err := io.ReadAll(e.sc)
		must(t, err)
		sameBytes(t, got, []byte("question"))
		// More than two windows: the client's updates come after its FIN.
		answer := random(700 << 10)
		go func() {
			e.sc.Write(answer)
			e.sc.CloseWrite()
		}()
		got, err = io.ReadAll(e.cc)
		must(t, err)
		sameBytes(t, got, answer)
		eventually(t, "no stream is left", func() bool { return e.client.NumStreams()+e.server.NumStreams() == 0 })
		e.alive()
	})
}

func TestTake(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, err := e.client.OpenSend(t.Context())
		must(t, err)
		for _, id := range []uint32{0, 2, w.ID() + 2, 1 << 31} {
			_, err := e.server.TakeReceive(id)
			wantErr(t, err, mux.ErrUnknownStream)
			_, err = e.server.TakeSend(id)
			wantErr(t, err, mux.ErrUnknownStream)
		}
		r, err := e.server.TakeReceive(e.announce(w.ID()))
		must(t, err)
		if r.ID() != w.ID() {
			t.Fatalf("ids %d and %d", r.ID(), w.ID())
		}
		_, err = e.server.TakeReceive(w.ID())
		wantErr(t, err, mux.ErrUnknownStream)
		_, err = e.server.TakeSend(w.ID())
		wantErr(t, err, mux.ErrUnknownStream)
		must(t, w.CloseWrite())
		_, err = io.ReadAll(r)
		must(t, err)
		e.onlyControl()
		_, err = e.server.TakeReceive(w.ID())
		wantErr(t, err, mux.ErrUnknownStream)
		e.alive()
	})
}

func TestTakeDoesNotWaitForTheNetwork(t *testing.T) {
	// The server's acknowledgements cannot leave, so that yamux hands over no stream at all.
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Memory().Pair(t)
		out := &gate{Conn: s, open: make(chan struct{})}
		client, server := muxtest.Join(t, c, out, nil, nil)
		_, err := client.OpenControl(t.Context())
		must(t, err)
		w, err := client.OpenSend(t.Context())
		must(t, err)
		r2, err := client.OpenReceive(t.Context())
		must(t, err)
		time.Sleep(time.Second)
		r, err := server.TakeReceive(w.ID())
		must(t, err)
		w2, err := server.TakeSend(r2.ID())
		must(t, err)
		read := async(func() error { _, err := r.Read(make([]byte, 1)); return err })
		wrote := async(func() error { _, err := w2.Write([]byte("x")); return err })
		time.Sleep(time.Second)
		w2.CancelWrite()
		stopped := async(r.CancelRead)
		wantErr(t, <-read, mux.ErrCanceled)
		close(out.open)
		wantErr(t, <-wrote, mux.ErrCanceled)
		must(t, <-stopped)
		<-w.Stopped()
		must(t, r2.CancelRead())
		<-w2.Stopped()
		time.Sleep(time.Second)
		if n := server.NumStreams(); n != 1 {
			t.Fatalf("%d streams", n)
		}
	})
}

// gate lets no Write through until it is opened.
type gate struct {
	muxtest.Conn
	open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.Conn.Write(p)
}

func TestUnclaimedForTooLong(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		e, _ := faulty(t, nil, nil)
		go io.Copy(io.Discard, readerOnly{e.sc})
		_, err := e.client.OpenSend(t.Context())
		must(t, err)
		time.Sleep(29 * time.Second)
		e.alive()
		time.Sleep(2 * time.Second)
		if _, ok := errors.AsType[*mux.ViolationError](e.server.Err()); !ok {
			t.Fatal(e.server.Err())
		}
	})
}

func TestUnannouncedStreamsCanBeGivenUp(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		go io.Copy(io.Discard, readerOnly{e.sc})
		for i := range 300 {
			w, err := e.client.OpenSend(t.Context())
			must(t, err)
			must(t, w.CloseWrite())
			r, err := e.client.OpenReceive(t.Context())
			must(t, err)
			must(t, r.CancelRead())
			if i%50 == 0 {
				e.cc.Write([]byte("speech"))
			}
		}
		eventually(t, "not more than may be unclaimed are left", func() bool {
			return e.client.NumStreams() <= 65 && e.server.NumStreams() <= 65
		})
		e.alive()
	})
}

func TestBurstOfCommands(t *testing.T) {
	// Hundreds of commands whose streams and announcements are all on the way before the server's reader runs.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		const commands = 240
		var sends []*mux.SendStream
		for range commands {
			var ids []byte
			for range 2 {
				w, err := e.client.OpenSend(t.Context())
				must(t, err)
				must(t, w.CloseWrite())
				sends = append(sends, w)
				ids = append(ids, byte(w.ID()>>8), byte(w.ID()))
			}
			if _, err := e.cc.Write(ids); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 * commands {
			var id [2]byte
			if _, err := io.ReadFull(e.sc, id[:]); err != nil {
				t.Fatal(err)
			}
			r, err := e.server.TakeReceive(uint32(id[0])<<8 | uint32(id[1]))
			must(t, err)
			_, err = io.ReadAll(r)
			must(t, err)
		}
		for _, w := range sends {
			within(t, "read to the end", w.Stopped())
		}
		e.onlyControl()
		e.alive()
	})
}

func TestCloseWriteWaitsForTheRunningWrite(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, r := e.up()
		data := random(1 << 20)
		wrote := async(func() error { _, err := w.Write(data); return err })
		got := make([]byte, 100)
		if _, err := io.ReadFull(r, got); err != nil { // the Write is running
			t.Fatal(err)
		}
		closed := async(w.CloseWrite)
		rest, err := io.ReadAll(r)
		must(t, err)
		must(t, <-wrote)
		must(t, <-closed)
		must(t, w.CloseWrite())
		sameBytes(t, append(got, rest...), data)
		if w.Sent() != uint64(len(data)) || r.Received() != uint64(len(data)) {
			t.Fatalf("sent %d, received %d", w.Sent(), r.Received())
		}
		if n, err := r.Read(got); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
		_, err = w.Write(data)
		wantErr(t, err, mux.ErrClosed)
	})
}

func TestStopWhileCloseWriteWaits(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, r := e.up()
		wrote := async(func() error { _, err := w.Write(make([]byte, 1<<20)); return err })
		if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		closed := async(w.CloseWrite)
		must(t, r.CancelRead())
		if err := result(t, "Write has returned", wrote); err != mux.ErrStopped && err != mux.ErrClosed {
			t.Fatal(err)
		}
		must(t, result(t, "CloseWrite has returned", closed))
		e.onlyControl()
	})
}

func TestCanceledWriterNeverClaimsAnEnd(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, r := e.up()
		if _, err := w.Write([]byte("part")); err != nil {
			t.Fatal(err)
		}
		w.CancelWrite()
		wantErr(t, w.CloseWrite(), mux.ErrCanceled)
		got := make([]byte, 4)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		must(t, e.client.Close())
		_, err := r.Read(got)
		wantLost(t, err)
	})
}

func TestShutdown(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, _ := e.up()
		err := e.client.Shutdown(timeout(t, 20*time.Millisecond))
		if err != nil {
			wantErr(t, err, context.DeadlineExceeded) // unless the server's end was faster
		}
		within(t, "the server sees the end", e.server.Done())
		wantErr(t, e.server.Err(), io.EOF)
		within(t, "the client has ended", e.client.Done())
		_, err = w.Write([]byte("x"))
		wantLost(t, err)
		_, err = e.client.OpenSend(t.Context())
		wantLost(t, err)
	})
}

func TestShutdownOfADeadLink(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		w, _ := e.up()
		fault.Stall()
		wrote := async(func() error { _, err := w.Write(make([]byte, 1<<20)); return err })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantErr(t, e.client.Shutdown(ctx), context.DeadlineExceeded)
		wantLost(t, <-wrote)
		wantErr(t, e.client.Err(), mux.ErrClosed)
	})
}

func TestShutdownTakesNothingMore(t *testing.T) {
	// Once the sending half has ended nothing may look sent.
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Memory().Pair(t)
		e := join(t, c, s, nil, nil)
		w, _ := e.up()
		w2, _ := e.up()
		done := async(func() error { return e.client.Shutdown(t.Context()) })
		<-e.server.Done()
		_, err := w.Write([]byte("x"))
		wantLost(t, err)
		wantLost(t, w2.CloseWrite())
		must(t, <-done)
	})
}

func TestClientCloseIsAnOrderlyEnd(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		client, server := muxtest.Pair(t, n, nil, nil)
		must(t, client.Close())
		must(t, client.Close())
		_, err := server.AcceptControl(t.Context())
		wantErr(t, err, io.EOF)
		if err := server.Err(); err != io.EOF {
			t.Fatal(err)
		}
		if err := client.Err(); err != mux.ErrClosed {
			t.Fatal(err)
		}
		_, err = client.OpenControl(t.Context())
		wantLost(t, err)
		wantErr(t, err, mux.ErrClosed)
	})
}

func TestCloseWhileEverythingRuns(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		for range amount(8) {
			e := connect(t, n, nil, nil)
			var calls []<-chan error
			for range 4 {
				w, r := e.up()
				calls = append(calls, async(func() error { return writeUntilError(w, 10000) }))
				calls = append(calls, async(func() error { _, err := io.Copy(io.Discard, readerOnly{r}); return err }))
				r2, w2 := e.down()
				calls = append(calls, async(func() error { _, err := r2.Read(make([]byte, 1)); return err }))
				calls = append(calls, async(func() error { return writeUntilError(w2, 100000) }))
			}
			calls = append(calls, async(func() error {
				for {
					if _, err := e.client.OpenSend(t.Context()); err != nil {
						return err
					}
				}
			}))
			go e.client.Close()
			e.server.Close()
			for _, c := range calls {
				if err := result(t, "every call returns", c); err != nil {
					wantLost(t, err)
				}
			}
		}
	})
}

func TestShutdownWithoutCloseWrite(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Memory().Pair(t)
		e := join(t, c, struct{ io.ReadWriteCloser }{s}, nil, nil)
		if _, err := e.sc.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		done := async(func() error { return e.server.Shutdown(t.Context()) })
		if _, err := io.ReadFull(e.cc, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		e.alive()
		must(t, e.client.Close())
		must(t, <-done)
		wantErr(t, e.server.Err(), io.EOF)
	})
}

func TestPingIsAnswered(t *testing.T) {
	c, peer := muxtest.Pipe(1000)
	s, err := mux.Server(c, nil)
	must(t, err)
	defer s.Close()
	peer.Write(raw(2, 1, 0, 77))
	got := make([]byte, 12)
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	sameBytes(t, got, raw(2, 2, 0, 77))
}
