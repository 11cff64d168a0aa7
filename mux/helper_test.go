package mux_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds what happens at once, ten times and more.
const soon = 20 * time.Second

// ends is a session with its control stream, on which ids are announced one by one.
type ends struct {
	t      testing.TB
	client *mux.Session
	server *mux.Session
	cc, sc *mux.DuplexStream
}

func connect(t testing.TB, n muxtest.Network, client, server *mux.Config) *ends {
	t.Helper()
	c, s := n.Pair(t)
	return join(t, c, s, client, server)
}

func join(t testing.TB, cconn, sconn io.ReadWriteCloser, client, server *mux.Config) *ends {
	t.Helper()
	e := &ends{t: t}
	e.client, e.server = muxtest.Join(t, cconn, sconn, client, server)
	var err error
	if e.cc, err = e.client.OpenControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.sc, err = e.server.AcceptControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// announce sends an id over the control stream and returns it as the server read it.
func (e *ends) announce(id uint32) uint32 {
	e.t.Helper()
	if _, err := e.cc.Write(binary.BigEndian.AppendUint32(nil, id)); err != nil {
		e.t.Fatal(err)
	}
	var b [4]byte
	if _, err := io.ReadFull(e.sc, b[:]); err != nil {
		e.t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b[:])
}

// up opens a stream from client to server.
func (e *ends) up() (*mux.SendStream, *mux.ReceiveStream) {
	e.t.Helper()
	w, err := e.client.OpenSend(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	r, err := e.server.TakeReceive(e.announce(w.ID()))
	if err != nil {
		e.t.Fatal(err)
	}
	return w, r
}

// down opens a stream from server to client.
func (e *ends) down() (*mux.ReceiveStream, *mux.SendStream) {
	e.t.Helper()
	r, err := e.client.OpenReceive(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	w, err := e.server.TakeSend(e.announce(r.ID()))
	if err != nil {
		e.t.Fatal(err)
	}
	return r, w
}

// onlyControl waits until no stream but the control stream is left at either end.
func (e *ends) onlyControl() {
	e.t.Helper()
	eventually(e.t, "only the control stream is left", func() bool {
		return e.client.NumStreams() == 1 && e.server.NumStreams() == 1
	})
}

// alive fails the test if either end has ended.
func (e *ends) alive() {
	e.t.Helper()
	for name, s := range map[string]*mux.Session{"client": e.client, "server": e.server} {
		if err := s.Err(); err != nil {
			e.t.Fatalf("%s: %v", name, err)
		}
	}
}

// amount is how often a test does what it only repeats, or how much it moves: a quarter of n under -short.
func amount(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", soon, what)
		}
	}
}

func within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("not within %v: %s", soon, what)
	}
}

// async runs f and returns a channel with its result.
func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

func result[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatalf("not within %v: %s", soon, what)
		panic("unreachable")
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	rng.Read(b)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// wantLost checks all that a LostError promises.
func wantLost(t testing.TB, err error) {
	t.Helper()
	lost, ok := errors.AsType[*mux.LostError](err)
	switch {
	case !ok:
		t.Fatalf("error %v, want a LostError", err)
	case lost.Cause == nil, errors.Is(err, io.EOF):
		t.Fatalf("LostError with cause %v", lost.Cause)
	}
}

func sameBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d, equal up to %d", len(got), len(want), commonPrefix(got, want))
	}
}

func commonPrefix(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func timeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
