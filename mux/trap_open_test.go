package mux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestTrapB1OpenersWindowIsUsableAtOnce(t *testing.T) {
	// The acceptor's window takes a round trip to be known; the opener's comes with the opening itself.
	muxtest.Bubble(t, func(t *testing.T) {
		const window = 4 << 20
		e, fault := faulty(t, &mux.Config{Window: window}, nil)
		_, w := e.down()
		written := async(func() error { _, err := w.Write(make([]byte, window)); return err })
		fault.Delay(time.Millisecond)
		must(t, result(t, "a window of data is taken though nobody reads", written))
	})
}

func TestTrapB1IDsLeaveInOrder(t *testing.T) {
	// Stock: ids are dealt out before the SYNs are queued, so that SYNs overtake each other; the server's guard
	// calls that a violation.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		tap := muxtest.NewTap(c)
		e := join(t, tap, s, nil, nil)
		streams := make(chan *mux.SendStream) // announced as they are opened: 64 may wait for that
		var openers sync.WaitGroup
		for range 8 {
			openers.Go(func() {
				for range amount(500) {
					w, err := e.client.OpenSend(t.Context())
					if err != nil {
						return // the announcements fail too
					}
					streams <- w
				}
			})
		}
		go func() { openers.Wait(); close(streams) }()
		for w := range streams {
			r, err := e.server.TakeReceive(e.announce(w.ID()))
			must(t, err)
			must(t, w.CloseWrite())
			_, err = io.ReadAll(r)
			must(t, err)
		}
		e.onlyControl()
		e.alive()
		last := uint32(0)
		for _, f := range tap.Frames() {
			if f.SYN() && f.ID <= last {
				t.Fatalf("SYN of %d after that of %d", f.ID, last)
			} else if f.SYN() {
				last = f.ID
			}
		}
	})
}

func TestTrapB2OpenCanBeCanceled(t *testing.T) {
	// Stock: with the backlog full OpenStream blocks with no way out, and with unequal backlogs streams are reset.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, &mux.Config{MaxStreams: 3}, nil)
		w, r := e.up()
		e.up()
		_, err := e.client.OpenSend(timeout(t, 20*time.Millisecond))
		wantErr(t, err, context.DeadlineExceeded)
		opened := async(func() error { _, err := e.client.OpenReceive(t.Context()); return err })
		must(t, w.CloseWrite())
		_, err = io.ReadAll(r)
		must(t, err)
		must(t, result(t, "a place is free", opened))
	})
}

func TestTrapB2OpenCanBeCanceledWhileTheLinkIsDead(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		fault.Stall()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := e.client.OpenSend(ctx)
			cancel()
			wantErr(t, err, context.DeadlineExceeded)
		}
		fault.Resume()
		w, r := e.up()
		must(t, w.CloseWrite())
		_, err := io.ReadAll(r)
		must(t, err)
		// The stream that was left behind ends by itself, without a violation.
		go io.Copy(io.Discard, readerOnly{e.sc})
		time.Sleep(time.Hour)
		e.onlyControl()
		e.alive()
	})
}

func TestTrapB2ManyStreamsAtOnce(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		var streams []*mux.SendStream
		for range 999 {
			w, r := e.up()
			streams = append(streams, w)
			go io.Copy(io.Discard, readerOnly{r})
		}
		_, err := e.client.OpenSend(timeout(t, 20*time.Millisecond))
		wantErr(t, err, context.DeadlineExceeded)
		for _, w := range streams {
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			must(t, w.CloseWrite())
		}
		e.onlyControl()
		e.alive()
	})
}

type readerOnly struct{ io.Reader }

func TestTrapB3EarlyHalfCloseKeepsItsPlace(t *testing.T) {
	// Stock: a stream whose FIN came before it was accepted is never acknowledged. Its place among 256 is taken until
	// it is over, its entry in a map for ever; the 257th open hangs.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		for range 17 {
			var open []*mux.ReceiveStream
			for range 100 { // 5,100 in all
				w, err := e.client.OpenSend(t.Context())
				must(t, err)
				must(t, w.CloseWrite())
				r, err := e.server.TakeReceive(e.announce(w.ID()))
				must(t, err)
				open = append(open, r)
			}
			for _, r := range open {
				_, err := io.ReadAll(r)
				must(t, err)
			}
		}
		e.onlyControl()
		eventually(t, "yamux keeps nothing", func() bool {
			inflight, places := e.client.Pending()
			return inflight == 0 && places == 0
		})
		e.alive()
	})
}

func TestTrapB3EarlyHalfCloseOfReceiving(t *testing.T) {
	// The other kind of early FIN: the reader has gone before its stream was accepted.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		for range 500 {
			r, err := e.client.OpenReceive(t.Context())
			must(t, err)
			must(t, r.CancelRead())
			w, err := e.server.TakeSend(e.announce(r.ID()))
			must(t, err)
			within(t, "stopped", w.Stopped())
			_, err = w.Write([]byte("x"))
			wantErr(t, err, mux.ErrStopped)
		}
		e.onlyControl()
		inflight, places := e.client.Pending()
		if inflight != 0 || places != 0 {
			t.Fatalf("%d entries, %d places", inflight, places)
		}
	})
}

func TestTrapB4NothingBoundsInboundStreams(t *testing.T) {
	// Stock: any number of streams of any id, each with a full window of memory, before the application knows.
	tests := map[string]struct {
		server bool
		frames []byte
	}{
		"unannounced":     {true, rawSYNs(1, 70)},
		"even":            {true, raw(1, 1, 2, 0)},
		"reset":           {true, append(raw(1, 1, 1, 0), raw(1, 8, 1, 0)...)},
		"from the server": {false, raw(1, 1, 2, 0)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
				c, peer := n.Pair(t)
				start := mux.Client
				if tt.server {
					start = mux.Server
				}
				s, err := start(c, nil)
				must(t, err)
				defer s.Close()
				if tt.server {
					go func() {
						if control, err := s.AcceptControl(t.Context()); err == nil {
							io.Copy(io.Discard, readerOnly{control})
						}
					}()
				}
				peer.Write(tt.frames)
				within(t, "the session has ended", s.Done())
				if _, ok := errors.AsType[*mux.ViolationError](s.Err()); !ok {
					t.Fatal(s.Err())
				}
				io.Copy(io.Discard, peer) // the connection is cut
			})
		})
	}
}

// raw is a header: kind 0 data, 1 window, 2 ping, 3 go away; flags 1 SYN, 2 ACK, 4 FIN, 8 RST.
func raw(kind, flags byte, id, length uint32) []byte {
	return []byte{
		0, kind, 0, flags, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id),
		byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length),
	}
}

func rawSYNs(from uint32, n int) (b []byte) {
	for i := range uint32(n) {
		b = append(b, raw(1, 1, from+2*i, 0)...)
	}
	return b
}

func TestTrapD3PingFlood(t *testing.T) {
	// Stock: every ping starts a goroutine that waits for its turn to answer; a stalled session collects them.
	c, peer := muxtest.Pipe(1 << 20)
	fault := muxtest.NewFault(c)
	s, err := mux.Server(stallWrites{fault, make(chan struct{})}, nil)
	must(t, err)
	defer s.Close()
	before := runtime.NumGoroutine()
	go peer.Write(bytes.Repeat(raw(2, 1, 0, 7), 20000))
	within(t, "the session has ended", s.Done())
	if _, ok := errors.AsType[*mux.ViolationError](s.Err()); !ok {
		t.Fatal(s.Err())
	}
	if n := runtime.NumGoroutine() - before; n > 300 {
		t.Fatalf("%d goroutines more", n)
	}
}

// stallWrites never finishes a Write until it is closed.
type stallWrites struct {
	*muxtest.Fault
	closed chan struct{}
}

func (s stallWrites) Write([]byte) (int, error) { <-s.closed; return 0, io.ErrClosedPipe }
func (s stallWrites) Close() error              { close(s.closed); return s.Fault.Close() }
