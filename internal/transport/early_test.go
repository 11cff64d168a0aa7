package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// dialed is a dial that takes a while, and the other end of its connections.
func dialed(ends chan<- net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		if addr != "[::1]:7390" {
			return nil, errors.New("dialed " + addr)
		}
		near, far := net.Pipe()
		ends <- far
		return near, ctx.Err()
	}
}

func TestEarly(t *testing.T) {
	ends := make(chan net.Conn, 1)
	e := ConnectEarly(t.Context(), "::1", 7390, dialed(ends))
	conn, took, err, ok := e.take(time.Hour)
	if !ok || err != nil || took <= 0 {
		t.Fatalf("%v, %v, %v", took, err, ok)
	}
	if _, _, _, ok := e.take(time.Hour); ok {
		t.Error("taken twice")
	}
	e.Discard() // means nothing now
	far := <-ends
	go func() { _, _ = conn.Write([]byte("x")) }()
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Errorf("after it was taken: %v", err)
	}
	_, _ = conn.Close(), far.Close()

	var none *Early
	none.Discard()
	if _, _, _, ok := none.take(time.Hour); ok {
		t.Error("nothing was taken")
	}
}

// TestEarlyDiscarded: one that waited too long, and one that is not used, is
// closed, and does not stay.
func TestEarlyDiscarded(t *testing.T) {
	ends := make(chan net.Conn, 1)
	for name, drop := range map[string]func(e *Early){
		"discarded": (*Early).Discard,
		"too late": func(e *Early) {
			if _, _, _, ok := e.take(-1); ok {
				t.Error("one that is too old was taken")
			}
		},
	} {
		drop(ConnectEarly(t.Context(), "::1", 7390, dialed(ends)))
		far := <-ends
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		_ = far.Close()
	}
	never := ConnectEarly(t.Context(), "::1", 7390, func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	never.Discard() // ends the dial
	if _, _, _, ok := never.take(time.Hour); ok {
		t.Error("taken after it was discarded")
	}
}
