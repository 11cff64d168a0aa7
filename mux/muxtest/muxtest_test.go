package muxtest_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rexec/rex/mux/muxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNetworks(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		for range 2 {
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(s, got); err != nil || string(got) != "hello" {
				t.Fatalf("%q, %v", got, err)
			}
			c, s = s, c
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
		if _, err := s.Write([]byte("still")); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("a closed end can be read")
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Fatal("a closed end can be written")
		}
	})
}

func TestPipeWaits(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Pipe(10)
		wrote := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 25))
			wrote <- err
		}()
		time.Sleep(time.Hour)
		if n, err := io.ReadFull(s, make([]byte, 20)); err != nil {
			t.Fatal(n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			s.Close()
		}()
		if n, err := c.Write(make([]byte, 100)); n != 5 || !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(n, err)
		}
	})
}

func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Pipe(1000)
		f := muxtest.NewFault(c)
		f.CutWrite(7, broken)
		f.CutRead(9, broken)
		f.CorruptRead(2, 0x20)
		f.OneByteReads()
		f.Delay(time.Minute)
		if n, err := f.Write([]byte("0123456789")); n != 7 || err != broken {
			t.Fatal(n, err)
		}
		if n, err := f.Write([]byte("x")); n != 0 || err != broken {
			t.Fatal(n, err)
		}
		s.Write([]byte("abCdefghijkl"))
		start := time.Now()
		got, err := io.ReadAll(f)
		if string(got) != "abcdefghi" || err != broken {
			t.Fatalf("%q, %v", got, err)
		}
		if d := time.Since(start); d != 9*time.Minute {
			t.Fatalf("took %v", d)
		}
		if r, w := f.Counts(); r != 9 || w != 7 {
			t.Fatal(r, w)
		}
	})
}

func TestStall(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Pipe(1000)
		f := muxtest.NewFault(c)
		f.Stall()
		start := time.Now()
		go func() {
			s.Write([]byte("x"))
			time.Sleep(time.Hour)
			f.Resume()
		}()
		if _, err := f.Read(make([]byte, 1)); err != nil || time.Since(start) != time.Hour {
			t.Fatal(err, time.Since(start))
		}
		f.Stall()
		go func() {
			time.Sleep(time.Hour)
			f.Close()
		}()
		if _, err := f.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(err)
		}
	})
}

func TestBreakWrite(t *testing.T) {
	broken := errors.New("broken")
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		c, s := n.Pair(t)
		f := muxtest.NewFault(c)
		f.BreakWrite(3, broken)
		if n, err := f.Write([]byte("hello")); n != 3 || err != broken {
			t.Fatal(n, err)
		}
		if got, err := io.ReadAll(s); string(got) != "hel" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestStallLetsABodyThrough(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		c, s := muxtest.Pipe(1000)
		f := muxtest.NewFault(c)
		s.Write([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0})
		if _, err := io.ReadFull(f, make([]byte, 14)); err != nil {
			t.Fatal(err)
		}
		f.Stall()
		f.Delay(time.Minute)
		start := time.Now()
		got := make([]byte, 3)
		if n, err := f.Read(got); n != 3 || err != nil || string(got) != "llo" || !time.Now().Equal(start) {
			t.Fatalf("%q, %v, after %v", got[:n], err, time.Since(start))
		}
		go func() {
			time.Sleep(time.Hour)
			f.Resume()
		}()
		if n, err := f.Read(got); n != 1 || err != nil || time.Since(start) != time.Hour+time.Minute {
			t.Fatal(n, err, time.Since(start))
		}
	})
}

func TestTap(t *testing.T) {
	c, s := muxtest.Pipe(1000)
	tap := muxtest.NewTap(c)
	go io.Copy(io.Discard, s)
	for _, b := range []byte("\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x02hi\x00\x01\x00\x04\x00\x00\x00\x07\x00\x00\x00\x09") {
		if _, err := tap.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	tap.Close()
	f := tap.Frames()
	switch {
	case len(f) != 2, f[0].ID != 7, !f[0].SYN(), f[0].FIN(), f[0].Data() != 2, f[1].SYN(), !f[1].FIN(), f[1].Data() != 0:
		t.Fatalf("%+v", f)
	}
}
