package sessiontest

import (
	"net"
	"os"
	"testing"

	"golang.org/x/net/nettest"
)

// The contract of net.Conn, as the Go project tests it.
func TestConn(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n *Network) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, c2 = pairOn(t, n)
			return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
		})
	})
}

// eachNetwork runs a test on a network of each kind.
func eachNetwork(t *testing.T, f func(t *testing.T, n *Network)) {
	t.Run("memory", func(t *testing.T) { f(t, NewNetwork(t)) })
	t.Run("joined", func(t *testing.T) { f(t, join(t, t.TempDir())) })
}

// join joins a network for the time of a test.
func join(t testing.TB, dir string) *Network {
	t.Helper()
	needsJoin(t)
	must(t, os.Chmod(dir, 0o700))
	n, err := Join(dir, "net")
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return n
}

func needsJoin(t testing.TB) {
	t.Helper()
	if !supported {
		t.Skip("networks of several processes need flock")
	}
}

// pair connects two hosts.
func pair(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	return pairOn(t, NewNetwork(t))
}

func pairOn(t *testing.T, n *Network) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialed, err = n.Host("a").Dial(t.Context(), l.Addr().String()); err == nil {
		accepted, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}
