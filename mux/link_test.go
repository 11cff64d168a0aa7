package mux_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// record is one record of a link, as this file's own code encodes and decodes it.
type record struct {
	kind    byte
	payload []byte
}

const (
	data, ack, ping, pong, bye, pause = 1, 2, 3, 4, 5, 6
)

func (r record) bytes() []byte {
	n := len(r.payload)
	return append([]byte{r.kind, byte(n >> 16), byte(n >> 8), byte(n)}, r.payload...)
}

func (r record) number() uint64 { return binary.BigEndian.Uint64(r.payload) }

func number(kind byte, v uint64) []byte {
	return record{kind, binary.BigEndian.AppendUint64(nil, v)}.bytes()
}

// nextRecord reads a record from the connection under a link's other end.
func nextRecord(t testing.TB, r io.Reader) record {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	got := record{head[0], make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))}
	if _, err := io.ReadFull(r, got.payload); err != nil {
		t.Fatal(err)
	}
	return got
}

// wantRecord reads a record and compares it.
func wantRecord(t testing.TB, r io.Reader, want []byte) {
	t.Helper()
	if got := nextRecord(t, r).bytes(); !bytes.Equal(got, want) {
		t.Fatalf("record %.40x, want %.40x", got, want)
	}
}

// linked is a link over memory and its peer's connection.
func linked(t *testing.T, cfg *mux.LinkConfig) (*mux.Link, muxtest.Conn) {
	t.Helper()
	c, peer := muxtest.Memory().Pair(t)
	l := mux.NewLink(c, cfg)
	t.Cleanup(func() { l.Close() })
	return l, peer
}

func wantLinkLost(t testing.TB, err, cause error) {
	t.Helper()
	lost, ok := errors.AsType[*mux.LinkLostError](err)
	if !ok || !errors.Is(lost, cause) || errors.Is(lost, io.EOF) {
		t.Fatalf("error %v, want a LinkLostError because of %v", err, cause)
	}
}

func TestLinkWrites(t *testing.T) {
	// Header and payload are one Write of the connection, whatever they were made of.
	c, peer := muxtest.Pipe(1 << 20)
	count := &counter{Conn: c}
	l := mux.NewLink(count, nil)
	defer l.Close()
	long := random(65536 + 5)
	buffers := net.Buffers{[]byte("a"), nil, []byte("bc"), long[:65536]}
	n, err := l.WriteBuffers(&buffers)
	must(t, err)
	if n != 65539 || len(buffers) != 0 || count.writes != 2 {
		t.Fatalf("%d bytes, %d buffers left, %d writes", n, len(buffers), count.writes)
	}
	wantRecord(t, peer, record{data, append([]byte("abc"), long[:65533]...)}.bytes())
	wantRecord(t, peer, record{data, long[65533:65536]}.bytes())
	if n, err := l.Write(long); n != len(long) || err != nil || count.writes != 4 {
		t.Fatal(n, err, count.writes)
	}
	wantRecord(t, peer, record{data, long[:65536]}.bytes())
	wantRecord(t, peer, record{data, long[65536:]}.bytes())
	if n, err := l.Write(nil); n != 0 || err != nil || count.writes != 4 {
		t.Fatal("an empty Write sends something", n, err)
	}
}

type counter struct {
	muxtest.Conn
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

func TestLinkFrameIsOneRecord(t *testing.T) {
	c, peer := muxtest.Pipe(1 << 20)
	count := &counter{Conn: c}
	s, err := mux.Client(mux.NewLink(count, nil), nil)
	must(t, err)
	defer s.Close()
	control, err := s.OpenControl(t.Context())
	must(t, err)
	if n := len(nextRecord(t, peer).payload); n != 12 {
		t.Fatalf("SYN is a record of %d bytes", n)
	}
	before := count.writes
	_, err = control.Write(make([]byte, mux.FrameSize))
	must(t, err)
	got := nextRecord(t, peer)
	if len(got.bytes()) != 4*16384 || count.writes != before+1 {
		t.Fatalf("a frame is %d bytes in %d writes", len(got.bytes()), count.writes-before)
	}
}

func TestLinkEnds(t *testing.T) {
	muxtest.Each(t, func(t *testing.T, n muxtest.Network) {
		if n.Name == "link" {
			n = muxtest.TLS()
		}
		for name, end := range map[string]func(*mux.Link) error{
			"Close": (*mux.Link).Close, "CloseWrite": (*mux.Link).CloseWrite,
		} {
			t.Run(name, func(t *testing.T) {
				c, s := n.Pair(t)
				a, b := mux.NewLink(c, nil), mux.NewLink(s, nil)
				defer a.Close()
				defer b.Close()
				a.SetCloseReason(mux.CloseShutdown, "so long\xff")
				_, err := a.Write([]byte("all"))
				must(t, err)
				must(t, end(a))
				must(t, end(a))
				got, err := io.ReadAll(b)
				must(t, err)
				sameBytes(t, got, []byte("all"))
				if code, text, ok := b.Closed(); code != mux.CloseShutdown || text != "so long\uFFFD" || !ok {
					t.Fatal(code, text, ok)
				}
				_, err = a.Write([]byte("x"))
				wantErr(t, err, mux.ErrClosed)
				if name == "CloseWrite" {
					_, err = b.Write([]byte("still"))
					must(t, err)
					must(t, b.Close())
					got, err = io.ReadAll(a)
					must(t, err)
					sameBytes(t, got, []byte("still"))
					return
				}
				_, err = a.Read(make([]byte, 1))
				wantErr(t, err, mux.ErrClosed)
			})
		}
	})
}

func TestLinkCloseTextIsCut(t *testing.T) {
	l, peer := linked(t, nil)
	must(t, l.CloseCode(7, "x"+strings.Repeat("é", 600)))
	got := nextRecord(t, peer)
	if text := "x" + strings.Repeat("é", 511); string(got.payload[2:]) != text || got.payload[1] != 7 {
		t.Fatalf("CLOSE %x", got.payload)
	}
	if _, _, ok := l.Closed(); ok {
		t.Fatal("our own CLOSE counts as the peer's")
	}
}

func TestLinkCutAtEveryByte(t *testing.T) {
	broken := errors.New("broken")
	said := bytes.Join([][]byte{
		record{data, []byte("hello")}.bytes(), number(ping, 9),
		{pause, 0, 0, 0},
		record{data, []byte("you")}.bytes(), record{bye, []byte{0, 2, 'o', 'k'}}.bytes(),
	}, nil)
	for n := range len(said) + 1 {
		for _, with := range []error{io.EOF, broken} {
			c, peer := muxtest.Pipe(1 << 10)
			fault := muxtest.NewFault(c)
			fault.CutRead(int64(n), with)
			l := mux.NewLink(fault, nil)
			peer.Write(said)
			got, err := io.ReadAll(l)
			l.Close()
			if !bytes.HasPrefix([]byte("helloyou"), got) {
				t.Fatalf("cut after %d bytes: %q", n, got)
			}
			if n == len(said) {
				must(t, err)
				sameBytes(t, got, []byte("helloyou"))
				continue
			}
			if with == io.EOF {
				with = io.ErrUnexpectedEOF
			}
			wantLinkLost(t, err, with)
		}
	}
}

// TestSessionOverLinkCutAtEveryByte is TestCutAtEveryByte with the cuts under the link.
func TestSessionOverLinkCutAtEveryByte(t *testing.T) {
	var whole exchange
	muxtest.Bubble(t, func(t *testing.T) {
		whole = runLinked(t, func(*muxtest.Fault) {})
		if whole.err != io.EOF || len(whole.got) < len(exchangeData) {
			t.Fatalf("%+v", whole)
		}
	})
	cutEverywhere(t, whole, runLinked)
}

// runLinked is run over links.
func runLinked(t *testing.T, broken func(*muxtest.Fault)) (x exchange) {
	c, s := muxtest.Memory().Pair(t)
	fault := muxtest.NewFault(c)
	broken(fault)
	client, server := muxtest.Join(t, mux.NewLink(fault, nil), mux.NewLink(s, nil), nil, nil)
	served := async(func() error { return serve(t, server) })
	x.got, x.err = ask(t, client)
	x.read, x.written = fault.Counts()
	client.Close()
	<-served
	if client.Err() == io.EOF && server.Err() == nil {
		t.Fatal("a link's io.EOF without the peer's end")
	}
	return x
}

func TestLinkAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer := linked(t, nil)
		go io.Copy(io.Discard, readerOnly{l})
		start := time.Now()
		for range 4 { // 256 KiB at once, without a timer
			peer.Write(record{data, make([]byte, 65536)}.bytes())
		}
		wantRecord(t, peer, number(ack, 4*65536))
		if time.Since(start) != 0 {
			t.Fatalf("the ACK took %v", time.Since(start))
		}
		time.Sleep(time.Minute)
		start = time.Now()
		for range 7 { // one ACK for all that comes in a second
			peer.Write(record{data, []byte("x")}.bytes())
			time.Sleep(100 * time.Millisecond)
		}
		wantRecord(t, peer, number(ack, 4*65536+7))
		if d := time.Since(start); d != time.Second {
			t.Fatalf("the ACK took %v", d)
		}
		time.Sleep(time.Hour) // nothing came, so nothing is acknowledged
		must(t, l.Close())
		wantRecord(t, peer, record{bye, []byte{0, 0}}.bytes())
	})
}

func TestLinkAcknowledgesWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer := linked(t, nil)
		peer.Write(record{data, []byte("hello")}.bytes())
		_, err := io.ReadFull(l, make([]byte, 3))
		must(t, err)
		wantRecord(t, peer, number(ack, 3))
	})
}

func TestLinkAcknowledgesBesideData(t *testing.T) {
	l, peer := linked(t, nil)
	wrote := async(func() error { _, err := peer.Write(record{data, make([]byte, 65536)}.bytes()); return err })
	_, err := io.ReadFull(l, make([]byte, 65536))
	must(t, err)
	must(t, <-wrote)
	_, err = l.Write([]byte("x"))
	must(t, err)
	wantRecord(t, peer, number(ack, 65536))
	wantRecord(t, peer, record{data, []byte("x")}.bytes())
}

func TestLinkAnswersBesideBulk(t *testing.T) {
	// Whatever is sent at the same time, records never interleave, and a PONG does not wait for the end of the bulk.
	c, peer := muxtest.TLS().Pair(t)
	l := mux.NewLink(c, nil)
	defer l.Close()
	go io.Copy(io.Discard, readerOnly{l})
	block := random(100 << 10)
	wrote := async(func() error { return writeUntilError(l, len(block)) })
	for i := range uint64(30) {
		_, err := peer.Write(append(number(ping, i), record{data, make([]byte, 5000)}.bytes()...))
		must(t, err)
		for {
			got := nextRecord(t, peer)
			if got.kind == pong && got.number() == i {
				break
			}
			if got.kind != data && got.kind != ack {
				t.Fatalf("record of type %d", got.kind)
			}
		}
	}
	must(t, l.Close())
	wantErr(t, <-wrote, mux.ErrClosed)
}

func TestLinkOwesOnePong(t *testing.T) {
	// A peer that asks and does not read costs one number, and no goroutine more.
	synctest.Test(t, func(t *testing.T) {
		l, peer := linked(t, nil)
		go io.Copy(io.Discard, readerOnly{l})
		wrote := async(func() error { _, err := l.Write(make([]byte, 65536)); return err })
		synctest.Wait()
		before := runtime.NumGoroutine()
		for i := range uint64(150) {
			peer.Write(number(ping, i))
		}
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > before+1 {
			t.Fatalf("%d goroutines for pings", n-before)
		}
		if got := nextRecord(t, peer); got.kind != data {
			t.Fatalf("record of type %d inside another", got.kind)
		}
		must(t, <-wrote)
		wantRecord(t, peer, number(pong, 149))
		must(t, l.Close())
		wantRecord(t, peer, record{bye, []byte{0, 0}}.bytes())
	})
}

func TestLinkViolation(t *testing.T) {
	l, peer := linked(t, nil)
	peer.Write([]byte{9, 0, 0, 0})
	_, err := l.Read(make([]byte, 1))
	if _, ok := errors.AsType[*mux.ViolationError](err); !ok {
		t.Fatal(err)
	}
	_, again := l.Write([]byte("x"))
	wantErr(t, again, err)
	got := nextRecord(t, peer)
	if got.kind != bye || got.payload[1] != 1 || !strings.Contains(string(got.payload), "unknown record type") {
		t.Fatalf("record %d %q", got.kind, got.payload)
	}
}

func TestLinkTellsTheSessionsViolation(t *testing.T) {
	c, s := muxtest.Link().Pair(t)
	server, err := mux.Server(s, nil)
	must(t, err)
	defer server.Close()
	_, err = c.Write(raw(3, 0, 0, 0))
	must(t, err)
	_, err = io.ReadAll(c)
	must(t, err)
	code, text, ok := c.(*mux.Link).Closed()
	if code != mux.CloseViolation || !strings.Contains(text, "go away") || !ok {
		t.Fatal(code, text, ok)
	}
}
