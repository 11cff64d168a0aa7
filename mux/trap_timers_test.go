package mux_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// faulty is a session over a Pipe whose client's end can be broken.
func faulty(t *testing.T, client, server *mux.Config) (*ends, *muxtest.Fault) {
	t.Helper()
	c, s := muxtest.Memory().Pair(t)
	f := muxtest.NewFault(c)
	return join(t, f, s, client, server), f
}

func TestTrapA1StreamCloseTimeoutDestroysHalfClosedStreams(t *testing.T) {
	// Stock: 5 min after CloseWrite the stream is reset, and what the reader had not read yet is gone.
	muxtest.Bubble(t, func(t *testing.T) {
		e, _ := faulty(t, nil, nil)
		data := random(200 << 10)
		w, r := e.up()
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		must(t, w.CloseWrite())
		got := make([]byte, 1000)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		rest, err := io.ReadAll(r)
		must(t, err)
		sameBytes(t, append(got, rest...), data)
		e.onlyControl()
	})
}

func TestTrapA1ReaderMayCloseItsUnusedHalfForHours(t *testing.T) {
	// Stock: a control stream half-closed by one end is reset under the other, which is still writing.
	muxtest.Bubble(t, func(t *testing.T) {
		e, _ := faulty(t, nil, nil)
		must(t, e.sc.CloseWrite())
		time.Sleep(time.Hour)
		if _, err := e.cc.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(e.sc, got); err != nil || string(got) != "late" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestTrapA2StreamOpenTimeoutKillsTheSession(t *testing.T) {
	// Stock: 75 s after an open that nobody acknowledged, the opener closes the whole session.
	muxtest.Bubble(t, func(t *testing.T) {
		c, peer := muxtest.Pipe(64 << 10)
		s, err := mux.Client(c, nil)
		must(t, err)
		defer s.Close()
		go io.Copy(io.Discard, peer)
		for range 3 {
			_, err := s.OpenControl(t.Context())
			if err == nil {
				_, err = s.OpenSend(t.Context())
			}
			if err != nil {
				break
			}
		}
		time.Sleep(24 * time.Hour)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTrapA3ConnectionWriteTimeoutCorruptsStreams(t *testing.T) {
	// Stock: a stall of more than 10 s loses FINs and window credit, and sends bytes twice or not at all.
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		type transfer struct {
			data []byte
			got  <-chan []byte
		}
		var all []transfer
		start := func(w *mux.SendStream, r *mux.ReceiveStream) {
			data := random(600<<10 + len(all))
			go func() {
				// The buffer is used again at once, as a pump would.
				for buf, rest := make([]byte, 30000), data; len(rest) > 0; {
					n := copy(buf, rest)
					rest = rest[n:]
					w.Write(buf[:n])
					clear(buf)
				}
				w.CloseWrite()
			}()
			all = append(all, transfer{data, async(func() []byte { b, _ := io.ReadAll(r); return b })})
		}
		for range 10 {
			start(e.up())
			r, w := e.down()
			start(w, r)
		}
		for range 20 {
			fault.Stall()
			time.Sleep(time.Hour)
			fault.Resume()
			time.Sleep(time.Microsecond)
		}
		for _, tr := range all {
			sameBytes(t, <-tr.got, tr.data)
		}
		e.onlyControl()
		e.alive()
	})
}

func TestTrapA3CloseWriteWaitsForItsFIN(t *testing.T) {
	// Stock: after 10 s CloseWrite returns nil, no FIN was sent, and the reader waits for ever.
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		w, r := e.up()
		fault.Stall()
		closed := async(w.CloseWrite)
		time.Sleep(time.Hour)
		select {
		case err := <-closed:
			t.Fatalf("returned %v while nothing could be sent", err)
		default:
		}
		fault.Resume()
		must(t, <-closed)
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
	})
}

func TestTrapA4KeepaliveKillsASlowLink(t *testing.T) {
	// Stock: a ping every 30 s, which queues behind the data; no answer within 10 s ends the session.
	muxtest.Bubble(t, func(t *testing.T) {
		e, fault := faulty(t, nil, nil)
		_, before := fault.Counts()
		time.Sleep(24 * time.Hour)
		if _, after := fault.Counts(); after != before {
			t.Fatalf("an idle session wrote %d bytes", after-before)
		}
		fault.Delay(20 * time.Second)
		data := bytes.Repeat([]byte("slow"), 50<<10)
		w, r := e.up()
		go func() {
			w.Write(data)
			w.CloseWrite()
		}()
		got, err := io.ReadAll(r)
		must(t, err)
		sameBytes(t, got, data)
		e.alive()
	})
}
