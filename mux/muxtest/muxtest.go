package muxtest

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/rexec/rex/mux"
)

// Conn is a connection whose sending half can be ended alone.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Network makes connected pairs of one kind. Both ends are closed at the end of the test.
type Network struct {
	Name string
	Pair func(t testing.TB) (client, server Conn)
}

// Networks returns memory, tcp, link and, where the system has socket pairs, unix.
func Networks() []Network {
	return append([]Network{Memory(), {"tcp", tcpPair}, Link()}, unixNetworks()...)
}

// Memory returns the network whose pairs are Pipes, for use in bubbles.
func Memory() Network { return Network{"memory", pipePair} }

// Each runs f as a subtest over every network.
func Each(t *testing.T, f func(t *testing.T, n Network)) {
	t.Helper()
	for _, n := range Networks() {
		t.Run(n.Name, func(t *testing.T) { f(t, n) })
	}
}

// Bubble runs f in a testing/synctest bubble, in which time passes only while everybody waits. Use it instead of
// synctest.Test wherever a mux.Session takes part: yamux keeps timers in a pool of its own, and a timer that was made
// in a bubble and is used outside of it ends the test binary. Tests in bubbles must not run in parallel with tests
// that use sessions.
//
// The clock stands still while somebody waits for a mutex, and yamux holds one from the first to the last byte of a
// frame's body. A connection in a bubble must not pause inside a frame for a time; Fault takes care of that.
func Bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	emptyPools()
	defer emptyPools()
	synctest.Test(t, f)
}

// emptyPools empties every sync.Pool: the first collection sets their content aside, the second drops it.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// Pair returns the two ends of a session over a new connection of n, both closed at the end of the test.
func Pair(t testing.TB, n Network, client, server *mux.Config) (*mux.Session, *mux.Session) {
	t.Helper()
	c, s := n.Pair(t)
	return Join(t, c, s, client, server)
}

// Join returns the two ends of a session over the given connection, both closed at the end of the test.
func Join(t testing.TB, cconn, sconn io.ReadWriteCloser, client, server *mux.Config) (*mux.Session, *mux.Session) {
	t.Helper()
	c, err := mux.Client(cconn, client)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mux.Server(sconn, server)
	if err != nil {
		_ = c.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
	})
	return c, s
}

func pipePair(t testing.TB) (Conn, Conn) {
	c, s := Pipe(64 << 10)
	return closedAfter(t, c, s)
}

func tcpPair(t testing.TB) (Conn, Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		_ = c.Close()
		t.Fatal(err)
	}
	return closedAfter(t, c.(*net.TCPConn), s.(*net.TCPConn))
}

func closedAfter(t testing.TB, c, s Conn) (Conn, Conn) {
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
	})
	return c, s
}
