package mux_test

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestTrapD1IdleStreamGivesItsBufferBack(t *testing.T) {
	// Stock: a stream that was full once keeps twice its window for as long as it lives.
	muxtest.Bubble(t, func(t *testing.T) {
		e, _ := faulty(t, nil, nil)
		w, r := e.up()
		data := random(200 << 10)
		for range 3 {
			wrote := async(func() error { _, err := w.Write(data); return err })
			time.Sleep(time.Second)
			if r.BufferCap() < len(data)/2 {
				t.Fatal("the test does not fill the buffer")
			}
			got := make([]byte, len(data))
			if _, err := io.ReadFull(r, got[:len(data)-1]); err != nil {
				t.Fatal(err)
			}
			must(t, <-wrote)
			time.Sleep(time.Minute)
			if r.BufferCap() == 0 {
				t.Fatal("no buffer, but there is data")
			}
			if _, err := io.ReadFull(r, got[len(data)-1:]); err != nil {
				t.Fatal(err)
			}
			sameBytes(t, got, data)
			time.Sleep(5 * time.Second)
			if n := r.BufferCap(); n != 0 {
				t.Fatalf("an idle stream keeps %d bytes", n)
			}
		}
		must(t, w.CloseWrite())
		_, err := io.ReadAll(r)
		must(t, err)
		e.onlyControl()
		if r.BufferCap() != -1 {
			t.Fatal("a stream that is over keeps yamux's stream")
		}
	})
}

func TestTrapD1ShrinkLeavesHalfAFrameAlone(t *testing.T) {
	// yamux's Shrink waits for the rest of a frame. The timer must not: in a bubble nothing would move any more.
	muxtest.Bubble(t, func(t *testing.T) {
		c, peer := muxtest.Pipe(1 << 20)
		s, err := mux.Server(c, nil)
		must(t, err)
		defer s.Close()
		go io.Copy(io.Discard, peer)
		peer.Write(append(append(raw(1, 1, 1, 0), raw(0, 0, 1, 100000)...), make([]byte, 100000)...))
		control, err := s.AcceptControl(t.Context())
		must(t, err)
		if _, err := io.ReadFull(control, make([]byte, 100000)); err != nil {
			t.Fatal(err)
		}
		peer.Write(append(raw(0, 0, 1, 100000), make([]byte, 50000)...))
		time.Sleep(time.Hour)
		peer.Write(make([]byte, 50000))
		if _, err := io.ReadFull(control, make([]byte, 100000)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTrapD2NoGoroutinePerStream(t *testing.T) {
	e := connect(t, muxtest.Memory(), nil, nil)
	e.up()
	before := runtime.NumGoroutine()
	var w []*mux.SendStream
	for range 400 {
		a, _ := e.up()
		_, b := e.down()
		w = append(w, a, b)
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Fatalf("800 idle streams cost %d goroutines", after-before)
	}
	runtime.KeepAlive(w)
}

func TestTrapD4NothingOnStderr(t *testing.T) {
	// Stock: a late window update, in which nothing is wrong, writes a warning to the user's terminal.
	stderr := os.Stderr
	out, in, err := os.Pipe()
	must(t, err)
	os.Stderr = in
	defer func() { os.Stderr = stderr }()
	var log bytes.Buffer
	c, peer := muxtest.Pipe(1 << 20)
	s, err := mux.Server(c, &mux.Config{
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(t, err)
	defer s.Close()
	peer.Write(append(rawSYNs(1, 2), raw(1, 4, 3, 0)...))
	control, err := s.AcceptControl(t.Context())
	must(t, err)
	r, err := s.TakeReceive(3)
	must(t, err)
	must(t, r.CancelRead())
	peer.Write(append(raw(1, 0, 3, 99), append(raw(0, 0, 1, 1), 'x')...))
	if _, err := io.ReadFull(control, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	within(t, "the session has ended", s.Done())
	must(t, s.Close())
	in.Close()
	if text, _ := io.ReadAll(out); len(text) > 0 || log.Len() > 0 {
		t.Fatalf("stderr %q, log %q", text, log.String())
	}
}
