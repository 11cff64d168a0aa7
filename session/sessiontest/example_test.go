//go:build unix

package sessiontest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"testing"

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
