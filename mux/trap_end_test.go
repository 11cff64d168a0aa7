package mux_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestTrapC1NoDataAfterFIN(t *testing.T) {
	// Stock: Close does not wait for a running Write, and its FIN can overtake what Write reports as written.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		tap := muxtest.NewTap(c)
		e := join(t, tap, s, nil, nil)
		for range amount(120) {
			w, r := e.up()
			writing := async(func() error { return writeUntilError(w, 5000) })
			if _, err := r.Read(make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
			got := async(func() uint64 { io.Copy(io.Discard, readerOnly{r}); return r.Received() })
			must(t, w.CloseWrite())
			wantErr(t, <-writing, mux.ErrClosed)
			if sent, got := w.Sent(), result(t, "end of data", got); sent != got {
				t.Fatalf("sent %d, received %d", sent, got)
			}
		}
		noDataAfterFIN(t, tap)
		e.onlyControl()
	})
}

func writeUntilError(w io.Writer, size int) error {
	for data := make([]byte, size); ; {
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
}

func noDataAfterFIN(t *testing.T, tap *muxtest.Tap) {
	t.Helper()
	ended := make(map[uint32]bool)
	for _, f := range tap.Frames() {
		if ended[f.ID] && (f.Data() > 0 || f.FIN()) {
			t.Fatalf("%+v after the FIN of its stream", f)
		}
		ended[f.ID] = ended[f.ID] || f.FIN()
	}
}

func TestTrapC1CloseWriteReportsALostFIN(t *testing.T) {
	// Stock: Close returns nil whether or not a FIN was sent.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		w, _ := e.up()
		e.client.Close()
		wantLost(t, w.CloseWrite())
		wantLost(t, w.CloseWrite())
	})
}

func TestTrapC2StopOfAWritingStream(t *testing.T) {
	// Stock: a writer whose reader has gone blocks for 5 min once the window is full; for ever without that timeout.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		tap := muxtest.NewTap(s)
		e := join(t, c, tap, nil, nil)
		var writers sync.WaitGroup
		stops := 300
		if n.Name == "unix" && !testing.Short() {
			stops = 2000
		}
		for i := range amount(stops) {
			r, w := e.down()
			writers.Go(func() {
				if err := writeUntilError(w, 1+i*37%20000); err != mux.ErrStopped {
					t.Error(err)
				}
			})
			if i%3 > 0 {
				n := i * 101 % 10000
				if i%20 == 0 {
					n *= 40 // more than a window
				}
				if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
					t.Fatal(err)
				}
			}
			must(t, r.CancelRead())
			within(t, "stopped", w.Stopped())
			if _, err := r.Read(make([]byte, 1)); err != mux.ErrCanceled {
				t.Fatal(err)
			}
		}
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		within(t, "all writers have returned", done)
		e.onlyControl()
		e.alive()
		noDataAfterFIN(t, tap)
	})
}

func TestTrapC2StopGrantsNothing(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		tap := muxtest.NewTap(c)
		e := join(t, tap, s, nil, nil)
		for range amount(60) {
			r, w := e.down()
			go writeUntilError(w, 60000)
			reading := async(func() error { _, err := io.Copy(io.Discard, readerOnly{r}); return err })
			for r.Received() < 300<<10 {
				time.Sleep(time.Microsecond)
			}
			must(t, r.CancelRead())
			wantErr(t, result(t, "the blocked Read has returned", reading), mux.ErrCanceled)
			eventually(t, "what was in flight is let go", func() bool { return r.BufferCap() < 0 })
		}
		e.onlyControl()
		ended := make(map[uint32]bool)
		for _, f := range tap.Frames() {
			if ended[f.ID] {
				t.Fatalf("%+v after the stop of its stream", f)
			}
			ended[f.ID] = f.FIN()
		}
	})
}

func TestTrapC3ResetDestroysBufferedData(t *testing.T) {
	// Stock: after a reset, Read returns an error before it looks at what it has.
	c, peer := muxtest.Pipe(64 << 10)
	s, err := mux.Server(c, nil)
	must(t, err)
	defer s.Close()
	b := raw(1, 1, 1, 0)
	b = append(append(b, raw(0, 0, 1, 5)...), "hello"...)
	peer.Write(b)
	control, err := s.AcceptControl(t.Context())
	must(t, err)
	peer.Write(raw(1, 8, 1, 0))
	within(t, "the session has ended", s.Done())
	got, err := io.ReadAll(control)
	sameBytes(t, got, []byte("hello"))
	wantLost(t, err)
	if _, ok := errors.AsType[*mux.ViolationError](err); !ok {
		t.Fatalf("error %v does not say why", err)
	}
}

func TestTrapC4DeadSendingHalfHidesReceivedData(t *testing.T) {
	// Stock: Read returns n > 0 together with the error of its window update, and io.Copy stops there.
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		r, w := e.down()
		data := random(256 << 10)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		must(t, w.CloseWrite())
		fault.CutWrite(0, syscall.EPIPE)
		got, err := io.ReadAll(r)
		must(t, err)
		sameBytes(t, got, data)
		// The session does not outlive its sending half for long.
		<-e.client.Done()
		wantErr(t, e.client.Err(), syscall.EPIPE)
	})
}

func TestTrapC4WriteErrorLetsTheRestBeRead(t *testing.T) {
	// The peer has sent everything and gone. A write of ours fails before we have read it all.
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, &mux.Config{Window: 1 << 20}, nil)
		r, w := e.down()
		fault.Delay(100 * time.Millisecond)
		data := random(700 << 10)
		wrote := async(func() error {
			_, err := w.Write(data)
			return errors.Join(err, w.CloseWrite(), e.server.Shutdown(t.Context()))
		})
		fault.CutWrite(0, syscall.EPIPE)
		got, err := io.ReadAll(r)
		must(t, err)
		sameBytes(t, got, data)
		<-e.client.Done()
		wantErr(t, e.client.Err(), io.EOF)
		must(t, <-wrote)
	})
}

func TestTrapC5EndsOfASession(t *testing.T) {
	// Stock: whatever ended the session, a stream's Read returns io.EOF as if its data were complete.
	broken := errors.New("broken")
	violation := new(*mux.ViolationError)
	frame := append(raw(0, 0, 1, 10), "0123456789"...)
	tests := map[string]struct {
		end  func(s *mux.Session, peer muxtest.Conn, f *muxtest.Fault)
		want func(error) bool
	}{
		"closed here": {
			func(s *mux.Session, _ muxtest.Conn, _ *muxtest.Fault) { s.Close() },
			func(err error) bool { return err == mux.ErrClosed },
		},
		"peer closed at a frame's edge": {
			func(_ *mux.Session, peer muxtest.Conn, _ *muxtest.Fault) { peer.Close() },
			func(err error) bool { return err == io.EOF },
		},
		"cut inside a header": {
			func(_ *mux.Session, peer muxtest.Conn, _ *muxtest.Fault) { peer.Write(frame[:5]); peer.Close() },
			func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		},
		"cut inside a body": {
			func(_ *mux.Session, peer muxtest.Conn, _ *muxtest.Fault) { peer.Write(frame[:17]); peer.Close() },
			func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		},
		"connection broke": {
			func(_ *mux.Session, peer muxtest.Conn, f *muxtest.Fault) { f.CutRead(0, broken); peer.Write(frame) },
			func(err error) bool { return errors.Is(err, broken) },
		},
		"violation": {
			func(_ *mux.Session, peer muxtest.Conn, _ *muxtest.Fault) { peer.Write(raw(3, 0, 0, 0)) },
			func(err error) bool { return errors.As(err, violation) },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
				c, peer := n.Pair(t)
				fault := muxtest.NewFault(c)
				s, err := mux.Server(fault, nil)
				must(t, err)
				defer s.Close()
				peer.Write(append(append(raw(1, 1, 1, 0), raw(0, 0, 1, 5)...), "hello"...))
				control, err := s.AcceptControl(t.Context())
				must(t, err)
				if _, err := io.ReadFull(control, make([]byte, 3)); err != nil {
					t.Fatal(err)
				}
				// What a peer leaves unread makes its kernel send a reset instead of an end.
				if _, err := io.ReadFull(peer, make([]byte, 12)); err != nil {
					t.Fatal(err)
				}
				tt.end(s, peer, fault)
				within(t, "the session has ended", s.Done())
				checkDead(t, s, control, tt.want)
			})
		})
	}
}

// checkDead checks what every method says after the end, with "lo" of the control stream not yet read.
func checkDead(t *testing.T, s *mux.Session, control *mux.DuplexStream, want func(error) bool) {
	t.Helper()
	if err := s.Err(); !want(err) {
		t.Errorf("Err: %v", err)
	}
	rest, err := io.ReadAll(control)
	if string(rest) != "lo" && string(rest) != "lo0123" && string(rest) != "lo01234" {
		t.Errorf("read %q", rest)
	}
	wantLost(t, err)
	wantErr(t, err, net.ErrClosed)
	_, err = control.Write([]byte("x"))
	wantLost(t, err)
	wantLost(t, control.CloseWrite())
	if _, err := s.AcceptControl(t.Context()); !want(err) {
		t.Errorf("AcceptControl: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Err(); !want(err) {
		t.Errorf("Err after Close: %v", err)
	}
}

func TestTrapC6EndLosesWhatIsInFlight(t *testing.T) {
	// Stock: the server's Close right after its last Write loses megabytes, because the client still sends and the
	// kernel then drops what it has not delivered.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		if small, ok := c.(interface{ SetReadBuffer(int) error }); ok {
			must(t, small.SetReadBuffer(16<<10))
		}
		slow := muxtest.NewFault(c)
		e := join(t, slow, s, &mux.Config{Window: 16 << 20}, nil)
		r, w := e.down()
		up, upEnd := e.up()
		go io.Copy(io.Discard, readerOnly{upEnd})
		slow.Delay(100 * time.Microsecond)
		go writeUntilError(up, 1000)
		data := random(3 << 20)
		served := async(func() error {
			_, err := w.Write(data)
			return errors.Join(err, w.CloseWrite(), e.server.Shutdown(timeout(t, soon)))
		})
		got, err := io.ReadAll(r)
		must(t, err)
		sameBytes(t, got, data)
		within(t, "the client sees the end", e.client.Done())
		wantErr(t, e.client.Err(), io.EOF)
		must(t, result(t, "the server is done", served))
		within(t, "the server's session has ended", e.server.Done())
	})
}

func TestTrapC7SlowCloseOfTheConnection(t *testing.T) {
	// Stock: while the connection closes, every blocked Read and Write spins. In a bubble that stops the clock, and
	// Close, which waits for it, never returns.
	for _, end := range []string{"here", "peer", "write error"} {
		t.Run(end, func(t *testing.T) {
			muxtest.Bubble(t, func(t *testing.T) {
				c, s := muxtest.Memory().Pair(t)
				fault := muxtest.NewFault(c)
				e := join(t, slowClose{fault}, s, nil, nil)
				var blocked sync.WaitGroup
				for range 4 {
					r, _ := e.down()
					w, _ := e.up()
					blocked.Go(func() { r.Read(make([]byte, 1)) })
					blocked.Go(func() { w.Write(make([]byte, 1<<20)) })
				}
				time.Sleep(time.Second)
				switch end {
				case "here":
					e.client.Close()
				case "peer":
					e.server.Close()
				case "write error":
					fault.CutWrite(0, syscall.EPIPE)
					e.client.OpenSend(t.Context())
				}
				<-e.client.Done()
				blocked.Wait()
			})
		})
	}
}

// slowClose takes its time to close.
type slowClose struct{ *muxtest.Fault }

func (c slowClose) Close() error {
	time.Sleep(time.Second)
	return c.Fault.Close()
}

func TestTrapC9CancelWhileTheWindowIsFull(t *testing.T) {
	// Stock: only a deadline ends a Write that waits for the window, and only the window's wait looks at it. mux does
	// that waiting itself.
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		tap := muxtest.NewTap(c)
		e := join(t, tap, s, nil, nil)
		w, r := e.up()
		writing := async(func() error { _, err := w.Write(make([]byte, 1<<20)); return err })
		eventually(t, "the window is full", func() bool {
			sent := 0
			for _, f := range tap.Frames() {
				if f.Kind == 0 && f.ID == w.ID() {
					sent += int(f.Length)
				}
			}
			return sent > 256<<10-16<<10
		})
		w.CancelWrite()
		wantErr(t, result(t, "the blocked Write has returned", writing), mux.ErrCanceled)
		_, err := w.Write([]byte("x"))
		wantErr(t, err, mux.ErrCanceled)
		wantErr(t, w.CloseWrite(), mux.ErrCanceled)
		if n, err := io.ReadFull(r, make([]byte, w.Sent())); err != nil {
			t.Fatal(n, err)
		}
		// No end was claimed; it comes when the reader has gone.
		for _, f := range tap.Frames() {
			if f.ID == w.ID() && f.FIN() {
				t.Fatal("a canceled stream was ended")
			}
		}
		must(t, r.CancelRead())
		e.onlyControl()
		e.alive()
	})
}

func TestTrapC9CancelReadWhileWaiting(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		e := connect(t, n, nil, nil)
		r, w := e.down()
		reading := async(func() error { _, err := r.Read(make([]byte, 1)); return err })
		must(t, r.CancelRead())
		wantErr(t, result(t, "the blocked Read has returned", reading), mux.ErrCanceled)
		within(t, "stopped", w.Stopped())
		must(t, r.CancelRead())
		e.onlyControl()
	})
}

func TestTrapC10EmptyReadsAndWrites(t *testing.T) {
	// Stock: Read(nil) blocks until there is something to read nothing of.
	e := connect(t, muxtest.Memory(), nil, nil)
	w, r := e.up()
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := w.Write(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	must(t, w.CloseWrite())
	_, err := w.Write(nil)
	wantErr(t, err, mux.ErrClosed)
}

func TestTrapC11FramesAreSmall(t *testing.T) {
	// Stock: one Write is one frame of up to the window; nothing else passes meanwhile.
	c, s := muxtest.Memory().Pair(t)
	tap := muxtest.NewTap(s)
	e := join(t, c, tap, &mux.Config{Window: 4 << 20}, nil)
	r, w := e.down()
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	frames := 0
	for _, f := range tap.Frames() {
		if f.Length > 65524 && f.Kind == 0 {
			t.Fatalf("a frame of %d bytes", f.Length)
		}
		if f.Kind == 0 && f.ID == r.ID() {
			frames++
		}
	}
	if want := 65; frames != want {
		t.Fatalf("%d frames, want %d", frames, want)
	}
}

func TestTrapC12BothWaysFullNeverDeadlock(t *testing.T) {
	c, s := muxtest.Pipe(1)
	e := join(t, c, s, nil, nil)
	var all sync.WaitGroup
	copyAll := func(w *mux.SendStream, r *mux.ReceiveStream) {
		data := random(amount(100 << 10))
		all.Go(func() {
			w.Write(data)
			w.CloseWrite()
		})
		all.Go(func() {
			if got, err := io.ReadAll(r); err != nil || len(got) != len(data) {
				t.Error(len(got), err)
			}
		})
	}
	for range 5 {
		copyAll(e.up())
		r, w := e.down()
		copyAll(w, r)
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	within(t, "everything has been moved", done)
	e.onlyControl()
}
