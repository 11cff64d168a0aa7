package mux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// exchange is a short session: the client opens a stream, announces it, and reads what the server sends on it.
type exchange struct {
	got     []byte
	err     error // of the client's stream, or of what came before it
	read    int64 // bytes that came to the client
	written int64 // bytes that the client sent
}

var exchangeData = random(70)

// run plays an exchange over a connection on which broken has set a fault at the client's end. It always ends, because
// whatever goes wrong, the server ends the connection when it is done.
func run(t *testing.T, broken func(*muxtest.Fault)) (x exchange) {
	t.Helper()
	c, s := muxtest.Memory().Pair(t)
	fault := muxtest.NewFault(c)
	broken(fault)
	client, server := muxtest.Join(t, fault, s, nil, nil)
	served := async(func() error { return serve(t, server) })
	x.got, x.err = ask(t, client)
	if x.err == io.EOF {
		x.read, x.written = fault.Counts()
	}
	client.Close()
	<-served
	return x
}

func ask(t *testing.T, client *mux.Session) ([]byte, error) {
	control, err := client.OpenControl(t.Context())
	if err != nil {
		return nil, err
	}
	r, err := client.OpenReceive(t.Context())
	if err != nil {
		return nil, err
	}
	if _, err := control.Write([]byte{byte(r.ID())}); err != nil {
		return nil, err
	}
	var got []byte
	for buf := make([]byte, 64); ; {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return got, err
		}
		if n == 0 {
			return got, errors.New("neither data nor error")
		}
	}
}

// serve answers one stream in three pieces and ends the session.
func serve(t *testing.T, server *mux.Session) error {
	defer server.Shutdown(t.Context())
	control, err := server.AcceptControl(t.Context())
	if err != nil {
		return err
	}
	var id [1]byte
	if _, err := io.ReadFull(control, id[:]); err != nil {
		return err
	}
	w, err := server.TakeSend(uint32(id[0]))
	if err != nil {
		return err
	}
	for piece := range bytes.SplitSeq(exchangeData, exchangeData[30:31]) {
		w.Write(piece)
		w.Write(exchangeData[30:31])
	}
	return w.CloseWrite()
}

func wholeExchange(t *testing.T) exchange {
	var x exchange
	muxtest.Bubble(t, func(t *testing.T) {
		x = run(t, func(*muxtest.Fault) {})
		if x.err != io.EOF || len(x.got) < len(exchangeData) || x.read == 0 || x.written == 0 {
			t.Fatalf("%+v", x)
		}
	})
	return x
}

func TestCutAtEveryByte(t *testing.T) {
	cutEverywhere(t, wholeExchange(t), run)
}

// cutEverywhere makes an exchange that is cut at each byte, in each way.
func cutEverywhere(t *testing.T, whole exchange, run func(t *testing.T, broken func(*muxtest.Fault)) exchange) {
	broken := errors.New("broken")
	cuts := map[string]func(f *muxtest.Fault, n int64){
		"read, end":    func(f *muxtest.Fault, n int64) { f.CutRead(n, io.EOF) },
		"read, error":  func(f *muxtest.Fault, n int64) { f.CutRead(n, broken) },
		"write, error": func(f *muxtest.Fault, n int64) { f.BreakWrite(n, broken) },
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			muxtest.Bubble(t, func(t *testing.T) {
				for n := range max(whole.read, whole.written) + 1 {
					x := run(t, func(f *muxtest.Fault) { cut(f, n) })
					checkExchange(t, fmt.Sprintf("cut after %d bytes", n), x, whole)
				}
			})
		})
	}
}

// checkExchange: everything with io.EOF, or a beginning of it with LostError, and nothing else.
func checkExchange(t *testing.T, what string, x, whole exchange) {
	t.Helper()
	if x.err == io.EOF {
		if !bytes.Equal(x.got, whole.got) {
			t.Fatalf("%s: io.EOF after %d of %d bytes", what, len(x.got), len(whole.got))
		}
		return
	}
	wantLost(t, x.err)
	if !bytes.HasPrefix(whole.got, x.got) {
		t.Fatalf("%s: wrong bytes", what)
	}
}

func TestCorruptAtEveryByte(t *testing.T) {
	// The connection promises to deliver what was sent, so only one thing is asked: it ends.
	whole := wholeExchange(t)
	muxtest.Bubble(t, func(t *testing.T) {
		for n := range whole.read {
			for _, mask := range []byte{1, 8, 0x80} {
				x := run(t, func(f *muxtest.Fault) { f.CorruptRead(n, mask) })
				if x.err == nil {
					t.Fatalf("byte %d: no end", n)
				}
			}
		}
	})
}

func TestOneByteAtATime(t *testing.T) {
	whole := wholeExchange(t)
	muxtest.Bubble(t, func(t *testing.T) {
		x := run(t, func(f *muxtest.Fault) { f.OneByteReads() })
		checkExchange(t, "one byte at a time", x, whole)
		if x.err != io.EOF {
			t.Fatal(x.err)
		}
	})
}

// FuzzServerSession: whatever a peer sends, the session ends when the connection does, and nothing panics.
func FuzzServerSession(f *testing.F) {
	f.Add(append(raw(1, 1, 1, 0), raw(0, 0, 1, 0)...), uint8(3))
	f.Add(append(append(raw(1, 1, 1, 0), raw(0, 1, 3, 5)...), "hello"...), uint8(3))
	f.Add(append(raw(1, 1, 3, 5), raw(1, 5, 5, 0)...), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, id uint8) {
		c, peer := muxtest.Pipe(1 << 20)
		s, err := mux.Server(c, nil)
		must(t, err)
		defer s.Close()
		go io.Copy(io.Discard, peer)
		peer.Write(in)
		peer.CloseWrite()
		if r, err := s.TakeReceive(uint32(id)); err == nil {
			io.Copy(io.Discard, readerOnly{r})
		}
		if control, err := s.AcceptControl(t.Context()); err == nil {
			if _, err := io.Copy(io.Discard, readerOnly{control}); err != nil {
				wantLost(t, err)
			}
		}
		<-s.Done()
		peer.Close()
		if s.Err() == nil {
			t.Fatal("ended without a reason")
		}
	})
}
