package mux_test

import (
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestLinkCloseDoesNotWaitForTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := linked(t, nil)
		wrote := async(func() error { _, err := l.Write(make([]byte, 1<<20)); return err })
		read := async(func() error { _, err := l.Read(make([]byte, 1)); return err })
		synctest.Wait()
		start := time.Now()
		must(t, l.CloseWrite())
		wantErr(t, l.Pause(), mux.ErrClosed)
		must(t, l.Close())
		if d := time.Since(start); d > 200*time.Millisecond {
			t.Fatalf("took %v", d)
		}
		wantErr(t, <-wrote, mux.ErrClosed)
		wantErr(t, <-read, mux.ErrClosed)
	})
}

func TestLinkCloseDoesNotWaitForTLS(t *testing.T) {
	// The peer reads nothing, so that neither CLOSE nor TLS's own farewell can leave.
	for _, writing := range []bool{true, false} {
		c, _ := muxtest.TLS().Pair(t)
		l := mux.NewLink(c, nil)
		wrote := async(func() error { return writeUntilError(l, 1<<20) })
		read := async(func() error { _, err := l.Read(make([]byte, 1)); return err })
		if !writing {
			must(t, l.CloseWrite())
			wantErr(t, <-wrote, mux.ErrClosed)
		}
		closed := async(l.Close)
		must(t, result(t, "Close has returned", closed))
		wantErr(t, result(t, "Read has returned", read), mux.ErrClosed)
		if writing {
			wantErr(t, result(t, "Write has returned", wrote), mux.ErrClosed)
		}
	}
}

func TestLinkWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := errors.New("no answer for 45 s")
		var asked atomic.Int32
		l, peer := linked(t, &mux.LinkConfig{Watch: func() error {
			if asked.Add(1) == 10 {
				return silent
			}
			return nil
		}})
		start := time.Now()
		_, err := l.Read(make([]byte, 1))
		wantLinkLost(t, err, silent)
		if d := time.Since(start); d != 50*time.Second {
			t.Fatalf("asked every %v", d/10)
		}
		_, again := l.Write([]byte("x"))
		wantErr(t, again, err)
		time.Sleep(time.Hour)
		if n := asked.Load(); n != 10 {
			t.Fatalf("asked %d times", n)
		}
		// A link that was lost says nothing: the session above it has not ended.
		if rest, err := io.ReadAll(peer); len(rest) > 0 || err != nil {
			t.Fatal(rest, err)
		}
		must(t, l.Close())
	})
}

func TestLinkIsNotAskedAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		l, _ := linked(t, &mux.LinkConfig{
			Watch: func() error { asked.Add(1); return nil }, WatchEvery: time.Minute, PingEvery: time.Minute,
		})
		time.Sleep(61 * time.Second)
		must(t, l.Close())
		time.Sleep(time.Hour)
		if n := asked.Load(); n != 1 {
			t.Fatalf("asked %d times", n)
		}
	})
}

// pinged is a link that pings every five minutes, whose reader runs.
func pinged(t *testing.T) (*mux.Link, muxtest.Conn, <-chan error) {
	l, peer := linked(t, &mux.LinkConfig{PingEvery: 5 * time.Minute})
	return l, peer, async(func() error { _, err := io.Copy(io.Discard, readerOnly{l}); return err })
}

func TestLinkPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer, read := pinged(t)
		for i := range uint64(20) {
			start := time.Now()
			wantRecord(t, peer, number(ping, i+1))
			if d := time.Since(start); d < 4*time.Minute || d > 5*time.Minute {
				t.Fatalf("asked after %v", d)
			}
			time.Sleep(time.Minute)
			peer.Write(number(pong, i+1))
		}
		start := time.Now()
		wantRecord(t, peer, number(ping, 21))
		wantLinkLost(t, <-read, mux.ErrSilent)
		if d := time.Since(start); d != 10*time.Minute {
			t.Fatalf("lost after %v", d)
		}
	})
}

func TestLinkHearsEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer, read := pinged(t)
		for _, b := range (record{data, make([]byte, 100)}).bytes() {
			time.Sleep(4 * time.Minute)
			peer.Write([]byte{b})
		}
		if got := nextRecord(t, peer); got.kind != ack {
			t.Fatalf("a talking peer gets a record of type %d", got.kind)
		}
		peer.Close()
		wantLinkLost(t, <-read, io.ErrUnexpectedEOF)
	})
}

func TestLinkPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer, read := pinged(t)
		other := mux.NewLink(peer, nil)
		must(t, other.Pause())
		synctest.Wait()
		if !l.Paused() {
			t.Fatal("not paused")
		}
		time.Sleep(24 * time.Hour) // nobody reads, and nobody asks
		_, err := other.Write([]byte("x"))
		must(t, err)
		synctest.Wait()
		if l.Paused() {
			t.Fatal("still paused")
		}
		go io.Copy(io.Discard, readerOnly{other})
		time.Sleep(time.Hour)
		must(t, other.CloseWrite())
		must(t, <-read)
		time.Sleep(time.Hour) // after its CLOSE the peer says nothing, and owes nothing
		_, err = l.Write([]byte("x"))
		must(t, err)
		must(t, other.Close())
		wantErr(t, other.Pause(), mux.ErrClosed)
	})
}

func TestLinkReadsOnAfterAFailedWrite(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		c, peer := muxtest.Pipe(1000)
		fault := muxtest.NewFault(c)
		fault.CutWrite(2, broken)
		l := mux.NewLink(fault, nil)
		defer l.Close()
		peer.Write(append(record{data, []byte("last words")}.bytes(), record{bye, []byte{0, 0}}.bytes()...))
		_, err := l.Write([]byte("x"))
		wantLinkLost(t, err, broken)
		_, again := l.Write([]byte("x"))
		wantErr(t, again, err)
		wantLinkLost(t, l.CloseWrite(), broken)
		wantLinkLost(t, l.Pause(), broken)
		got := make([]byte, 10)
		_, err = io.ReadFull(l, got)
		must(t, err)
		sameBytes(t, got, []byte("last words"))
		start := time.Now()
		_, err = l.Read(got) // the peer's end does not come
		wantErr(t, err, broken)
		if d := time.Since(start); d != 2*time.Second {
			t.Fatalf("read on for %v", d)
		}
	})
}

func TestIdleLinkIsSmall(t *testing.T) {
	// Both ends of a session over a link over TLS are in this process.
	const pairs = 16
	before := inUse()
	var all []*ends
	for range pairs {
		all = append(all, connect(t, muxtest.Link(), nil, nil))
	}
	each := (inUse() - before) / (2 * pairs)
	t.Logf("an idle session has %d KiB at each end", each>>10)
	if each > 64<<10 {
		t.Errorf("an idle session has %d KiB at each end", each>>10)
	}
	for _, e := range all {
		moveOnce(t, e)
	}
	t.Logf("after bulk, with yamux's copy of the last frame, it has %d KiB", (inUse()-before)/(2*pairs)>>10)
	runtime.KeepAlive(all)
}

// moveOnce moves a megabyte from the server to the client.
func moveOnce(t *testing.T, e *ends) {
	r, w := e.down()
	wrote := async(func() error { _, err := w.Write(make([]byte, 1<<20)); return errors.Join(err, w.CloseWrite()) })
	_, err := io.Copy(io.Discard, readerOnly{r})
	must(t, errors.Join(err, <-wrote))
	e.onlyControl()
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
