//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/rexec/rex/session"
)

// TestRelayAfterShutdown closes what still comes.
func TestServiceAfterShutdown(t *testing.T) {
	s := newRelay(&session.Server{})
	s.renew(&session.Server{})
	if err := s.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	s.take(a)
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}

// TestRelayResets a plain client, who must not take an end for an answer.
func TestRelayResets(t *testing.T) {
	r := newRelay(&session.Server{})
	if err := r.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.take(conn)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
}

func TestRelayShutdownInTime(t *testing.T) {
	s := newRelay(&session.Server{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.close()
}

func TestInlet(t *testing.T) {
	i := newInlet()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	put := make(chan bool)
	go func() { put <- i.put(a) }()
	if got, err := i.Accept(); got != a || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if !<-put {
		t.Error("not put")
	}
	i.Close()
	i.Close()
	if _, err := i.Accept(); err != io.EOF {
		t.Errorf("Accept: %v", err)
	}
	if i.put(b) {
		t.Error("put into a closed inlet")
	}
}
