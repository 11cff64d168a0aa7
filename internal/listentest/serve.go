package listentest

import (
	"net"
	"sync"
	"testing"
)

// Serve has handle talk to everybody who connects, in a goroutine for each, and
// closes the connection when it returns. At the end of the test l and the
// connections that are left are closed, and Serve's goroutines are waited for.
func Serve(t testing.TB, l net.Listener, handle func(net.Conn)) {
	var conns []net.Conn // of the accept loop, until it ends
	var talks sync.WaitGroup
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			talks.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-accepted
		for _, c := range conns {
			_ = c.Close()
		}
		talks.Wait()
	})
}

// Listen is Serve on a port of the loopback, whose address it returns.
func Listen(t testing.TB, handle func(net.Conn)) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, handle)
	return l.Addr().(*net.TCPAddr)
}
