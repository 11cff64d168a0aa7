package sessiontest

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// The contract of net.Conn, as the Go project tests it.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = pair(t)
		return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
	})
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
