//go:build unix

package sessiontest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/sessiontest"
)

// exampleT stands for the *testing.T that a test has.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (*exampleT) Helper()                   {}
func (*exampleT) Context() context.Context  { return context.Background() }
func (t *exampleT) Cleanup(f func())        { t.cleanups = append(t.cleanups, f) }
func (*exampleT) Fatal(args ...any)         { log.Fatal(args...) }
func (*exampleT) Errorf(f string, a ...any) { log.Printf(f, a...) }

func (t *exampleT) end() {
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		f()
	}
}

func ExampleNewServer() {
	t := &exampleT{} // a test has its own
	defer t.end()

	srv := sessiontest.NewServer(t)
	out, err := srv.Client().Command("echo", "hello").Output()
	fmt.Printf("%q %v\n", out, err)
	// Output: "hello\n" <nil>
}

// A server on a host of its own, and a link that fails in the middle of an
// answer.
func ExampleNetwork() {
	t := &exampleT{} // a test has its own
	defer t.end()
	ctx := t.Context()

	net := sessiontest.NewNetwork(t)
	l, err := net.Host("α").Listen(ctx, 0)
	if err != nil {
		log.Fatal(err)
	}
	srv := &session.Server{}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()

	conn, err := net.Host("β").Dial(ctx, "α:1") // the first port is always 1
	if err != nil {
		log.Fatal(err)
	}
	client, err := session.NewClient(conn, nil)
	if err != nil {
		log.Fatal(err)
	}
	net.DropAfter("α", "β", 0)
	fmt.Println(client.Command("true").Run())

	_ = client.Close()
	_ = srv.Close()
	fmt.Println(<-done)
	// Output:
	// session: connection lost: mux: read: read testnet β:49152->α:1: connection reset by peer
	// session: server closed
}

// Two processes would each call Join with the same directory and name; here both
// are in one.
func ExampleJoin() {
	dir, err := os.MkdirTemp("", "nets-") // for this user alone, as Join demands
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	server, err := sessiontest.Join(dir, "mynet")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	l, err := server.Host("web1").Listen(ctx, 0)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			fmt.Fprintf(conn, "hello %v", conn.RemoteAddr())
			_ = conn.Close()
		}
	}()

	client, err := sessiontest.Join(dir, "mynet")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	conn, err := client.Host("laptop").Dial(ctx, "web1:1")
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", answer, err)
	_, err = client.Host("web1").Listen(ctx, 0)
	fmt.Println(errors.Is(err, sessiontest.ErrHostTaken), err)
	// Output:
	// hello laptop:49152 <nil>
	// true listen testnet web1:0: the host is another process's
}

// A fault is the network's, whichever process it comes from. This one lasts for
// a part of a test.
func ExampleNetwork_Cut() {
	t := &exampleT{} // a test has its own
	defer t.end()

	net := sessiontest.NewNetwork(t)
	if _, err := net.Host("web1").Listen(t.Context(), 0); err != nil {
		log.Fatal(err)
	}
	net.Cut("laptop", "web1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := net.Host("laptop").Dial(ctx, "web1:1")
	fmt.Println(err)
	net.Mend("laptop", "web1")
	_, err = net.Host("laptop").Dial(t.Context(), "web1:1")
	fmt.Println(err)
	// Output:
	// dial testnet web1:1: context deadline exceeded
	// <nil>
}

// Connections have half-close, as those of TCP.
func ExampleHost_Dial() {
	t := &exampleT{} // a test has its own
	defer t.end()

	net := sessiontest.NewNetwork(t)
	l, err := net.Host("shouter").Listen(t.Context(), 9)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		words, _ := io.ReadAll(conn) // until the sending half ends
		fmt.Fprintf(conn, "%s!", words)
		_ = conn.Close()
	}()
	conn, err := net.Host("me").Dial(t.Context(), "shouter:9")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(conn, "hello")
	_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", answer, err)
	// Output: hello! <nil>
}
