package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
}

func closeWrite(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.(interface{ CloseWrite() error }).CloseWrite())
}

func TestAddresses(t *testing.T) { eachNetwork(t, testAddresses) }

func testAddresses(t *testing.T, n *Network) {
	c, s := pairOn(t, n)
	if c.LocalAddr() != (Addr{"a", 49152}) || c.RemoteAddr() != (Addr{"b", 1}) || s.LocalAddr() != c.RemoteAddr() || s.RemoteAddr() != c.LocalAddr() {
		t.Errorf("%v to %v, and %v to %v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
	}
}

func TestNames(t *testing.T) {
	n := NewNetwork(t)
	if a := n.Host("a"); a != n.Host("a") || a.Name() != "a" {
		t.Error("two hosts of one name")
	}
	for _, name := range []string{"", "a:b", "a b", "a\n", "a\x1b", "\xff", strings.Repeat("a", maxName+1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is a name", name)
				}
			}()
			n.Host(name)
		}()
	}
}

func TestDialErrors(t *testing.T) { eachNetwork(t, testDialErrors) }

func testDialErrors(t *testing.T, n *Network) {
	n.Host("b")
	var noHost *net.DNSError
	for address, is := range map[string]func(error) bool{
		"b:1":     func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
		"c:1":     func(err error) bool { return errors.As(err, &noHost) && noHost.IsNotFound },
		"b":       func(err error) bool { return errors.As(err, new(*net.AddrError)) },
		"b:0":     func(err error) bool { return errors.As(err, new(*net.AddrError)) },
		"b:65536": func(err error) bool { return errors.As(err, new(*net.AddrError)) },
		"":        func(err error) bool { return errors.As(err, new(*net.AddrError)) },
	} {
		c, err := n.Host("a").Dial(t.Context(), address)
		if c != nil || !is(err) || !errors.As(err, new(*net.OpError)) {
			t.Errorf("%q: %v, %v", address, c, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := n.Host("a").Listen(ctx, 0); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// The halves of a connection end one by one.
func TestHalfClose(t *testing.T) { eachNetwork(t, testHalfClose) }

func testHalfClose(t *testing.T, n *Network) {
	c, s := pairOn(t, n)
	write(t, c, "question")
	closeWrite(t, c)
	if all, err := io.ReadAll(s); string(all) != "question" || err != nil {
		t.Fatalf("%q, %v", all, err)
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal("after the end:", err)
	}
	write(t, s, "answer")
	must(t, s.Close()) // everything was read
	if all, err := io.ReadAll(c); string(all) != "answer" || err != nil {
		t.Fatalf("%q, %v", all, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error("a write after CloseWrite:", err)
	}
	if err := c.(*conn).CloseWrite(); !errors.Is(err, net.ErrClosed) {
		t.Error("a second CloseWrite:", err)
	}
}

// Who closes with something unread resets, and its last words are lost.
func TestCloseWithUnreadInputResets(t *testing.T) { eachNetwork(t, testCloseWithUnreadInputResets) }

func testCloseWithUnreadInputResets(t *testing.T, n *Network) {
	c, s := pairOn(t, n)
	write(t, c, "unread")
	write(t, s, "lost")
	must(t, s.Close())
	got, err := io.ReadAll(c) // what has arrived before the reset may be read, over loopback
	if n.member == nil && len(got) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %q, %v", got, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Error("write:", err)
	}
}

// A writer whose reader has gone is told, also while it waits for room.
func TestWriterLearnsThatTheReaderHasGone(t *testing.T) {
	c, s := pair(t)
	done := make(chan error)
	go func() {
		_, err := c.Write(make([]byte, held+2)) // one more than there is room for
		done <- err
	}()
	read(t, s, 1)
	must(t, s.Close())
	if err := <-done; !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

func TestListenerClose(t *testing.T) { eachNetwork(t, testListenerClose) }

func testListenerClose(t *testing.T, n *Network) {
	l, err := n.Host("b").Listen(t.Context(), 0)
	must(t, err)
	waiting, err := n.Host("a").Dial(t.Context(), "b:1")
	must(t, err)
	must(t, l.Close())
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("closed twice:", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("accept:", err)
	}
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error("who was not accepted:", err)
	}
	if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("dial:", err)
	}
}

// A cut holds everything up; mending loses nothing.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t)
		c, s := pairOn(t, n)
		l, err := n.Host("b").Listen(t.Context(), 7)
		must(t, err)
		defer l.Close()
		write(t, c, "on its way")
		n.Cut("b", "a") // in any order
		write(t, c, ", later")
		closeWrite(t, c)
		must(t, s.SetReadDeadline(time.Now().Add(time.Hour)))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Error("over a cut link:", err)
		}
		must(t, s.SetReadDeadline(time.Time{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "b:7"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("dial over a cut link:", err)
		}
		dialed := make(chan error)
		go func() {
			c, err := n.Host("a").Dial(t.Context(), "b:7")
			if err == nil {
				err = c.Close()
			}
			dialed <- err
		}()
		synctest.Wait()
		n.Mend("a", "b")
		must(t, <-dialed)
		if all, err := io.ReadAll(s); string(all) != "on its way, later" || err != nil {
			t.Errorf("%q, %v", all, err)
		}
		must(t, errors.Join(c.Close(), s.Close()))
	})
}

// What was sent by who has closed then arrives after a cut like everything else,
// and so does the news for who writes.
func TestCutAndClose(t *testing.T) { eachNetwork(t, testCutAndClose) }

func testCutAndClose(t *testing.T, n *Network) {
	c, s := pairOn(t, n)
	n.Cut("a", "b")
	write(t, c, "goodbye")
	must(t, c.Close())
	n.Mend("a", "b")
	if all, err := io.ReadAll(s); string(all) != "goodbye" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	must(t, s.SetWriteDeadline(time.Now().Add(patience)))
	var err error
	for err == nil { // over loopback, the first writes are before the reset
		_, err = s.Write(make([]byte, 1000))
	}
	if !errors.Is(err, syscall.EPIPE) && !(n.member != nil && errors.Is(err, syscall.ECONNRESET)) {
		t.Error("a write to who has closed:", err)
	}
	must(t, s.Close())
	if left := n.link("a", "b").all(); len(left) != 0 {
		t.Errorf("the link still lists %d ends", len(left))
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// A cut between two hosts is none between others.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t)
		for _, name := range []string{"a", "b", "c"} {
			l, err := n.Host(name).Listen(t.Context(), 0)
			must(t, err)
			defer l.Close()
			go serveEcho(l)
		}
		n.Cut("a", "c")
		n.Cut("b", "c")
		must(t, echo(t.Context(), n, "a", "b:1", "x"))
		for _, from := range []string{"a", "b"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := echo(ctx, n, from, "c:1", "x"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s reaches c: %v", from, err)
			}
			cancel()
		}
		n.Mend("a", "c")
		n.Mend("b", "c")
		must(t, echo(t.Context(), n, "a", "c:1", "x"))
		must(t, echo(t.Context(), n, "c", "b:1", "x"))
	})
}

// serveEcho ends with the listener, and its connections with their clients.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

// echo has a text echoed.
func echo(ctx context.Context, n *Network, from, to, text string) error {
	c, err := n.Host(from).Dial(ctx, to)
	if err != nil {
		return err
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, text)
		_ = c.(*conn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err == nil && string(got) != text {
		err = fmt.Errorf("%d bytes came back of %d", len(got), len(text))
	}
	return err
}

// A delay holds for every byte, keeps their order when it shrinks, and makes a
// new connection take a round trip.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t)
		n.Delay("a", "b", 25*time.Millisecond)
		start := time.Now()
		c, s := pairOn(t, n)
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("connected after %v", took)
		}
		write(t, c, "1")
		n.Delay("a", "b", 0)
		write(t, c, "2")
		closeWrite(t, c)
		start = time.Now()
		if all, err := io.ReadAll(s); string(all) != "12" || err != nil || time.Since(start) != 25*time.Millisecond {
			t.Errorf("%q, %v after %v", all, err, time.Since(start))
		}
		must(t, errors.Join(c.Close(), s.Close()))
	})
}

func TestDropAfter(t *testing.T) {
	n := NewNetwork(t)
	c, s := pairOn(t, n)
	write(t, c, "before")
	read(t, s, 6)
	n.DropAfter("a", "b", 4)
	write(t, s, "los")
	write(t, c, "1234") // the last of them
	if got := read(t, s, 4); got != "1234" {
		t.Errorf("%q", got)
	}
	for _, end := range []net.Conn{c, s} {
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}
	if n, err := c.Write([]byte("5")); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Error(n, err)
	}
	later, other := pairOn(t, n)
	if n, err := later.Write([]byte("123456")); n != 4 || !errors.Is(err, syscall.ECONNRESET) {
		t.Error("a later connection:", n, err)
	}
	if got := read(t, other, 4); got != "1234" {
		t.Errorf("%q", got)
	}
	n.DropAfter("a", "b", -1)
	whole, last := pairOn(t, n)
	write(t, whole, "123456")
	read(t, last, 6)
}

// Who loops over timeouts notices that the connection was closed.
func TestCloseAfterTimeout(t *testing.T) { eachNetwork(t, testCloseAfterTimeout) }

func testCloseAfterTimeout(t *testing.T, n *Network) {
	c, _ := pairOn(t, n)
	must(t, c.SetDeadline(time.Unix(1, 0)))
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Error(err)
	}
	must(t, c.Close())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error("read:", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error("write:", err)
	}
}

// A dial that waits ends with the network, and none begins with a context that
// has ended.
func TestDialEnds(t *testing.T) {
	dialed := make(chan error, 1)
	t.Run("test", func(t *testing.T) {
		n := NewNetwork(t)
		n.Cut("a", "b")
		go func() {
			_, err := n.Host("a").Dial(context.Background(), "b:1")
			dialed <- err
		}()
	})
	if err := <-dialed; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	n := NewNetwork(t)
	_, err := n.Host("b").Listen(t.Context(), 0)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.Canceled) {
		t.Error("dialed with a context that has ended:", err)
	}
}

// A hundred hosts, every one with every one, all at once.
func TestAllPairs(t *testing.T) {
	hosts := 100
	if testing.Short() {
		hosts = 20
	}
	n := NewNetwork(t)
	for i := range hosts {
		l, err := n.Host(fmt.Sprint(i)).Listen(t.Context(), 0)
		must(t, err)
		go serveEcho(l)
	}
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() {
			for j := range hosts {
				text := strings.Repeat(fmt.Sprintf("%d to %d ", i, j), 20)
				if err := echo(t.Context(), n, fmt.Sprint(i), fmt.Sprintf("%d:1", j), text); err != nil {
					t.Errorf("%d to %d: %v", i, j, err)
				}
			}
		})
	}
	wg.Wait()
}

// Bytes arrive in order and whole, however they are written and read.
func TestBulk(t *testing.T) { eachNetwork(t, testBulk) }

func testBulk(t *testing.T, n *Network) {
	c, s := pairOn(t, n)
	sent := make([]byte, 8<<20)
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(sent)
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+int(rnd.Uint64()%100_000))
			_, _ = c.Write(rest[:n])
			rest = rest[n:]
		}
		_ = c.(*conn).CloseWrite()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// What is not closed is closed with the network.
func TestNetworkEnds(t *testing.T) {
	var c net.Conn
	var n *Network
	t.Run("test", func(t *testing.T) {
		n = NewNetwork(t)
		c, _ = pairOn(t, n)
	})
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := n.Host("b").Listen(t.Context(), 0); !errors.Is(err, net.ErrClosed) {
		t.Error("listen:", err)
	}
	if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, net.ErrClosed) {
		t.Error("dial:", err)
	}
}
