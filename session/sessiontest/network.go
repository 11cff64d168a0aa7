package sessiontest

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Network is hosts that reach each other by name. All methods may be called at
// any time, from many goroutines.
type Network struct {
	member *member // of a network of several processes, otherwise nil

	mu    sync.Mutex
	hosts map[string]*Host
	links map[[2]string]*link
	ended chan struct{} // closed at the end
}

// NewNetwork makes a network without hosts. At the end of the test all its
// listeners and connections are closed.
func NewNetwork(t testing.TB) *Network {
	n := newNetwork()
	t.Cleanup(n.end)
	return n
}

func newNetwork() *Network {
	return &Network{hosts: make(map[string]*Host), links: make(map[[2]string]*link), ended: make(chan struct{})}
}

// maxName is how many bytes a name has at most.
const maxName = 64

// CheckName refuses what cannot be the name of a host or network: it is one word
// that can be printed, of at most 64 bytes, without a colon.
func CheckName(name string) error {
	bad := func(r rune) bool { return r == ':' || r == ' ' || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q is no name of a host or network", name)
	}
	return nil
}

func isName(name string) bool { return CheckName(name) == nil }

// Host returns the host of that name, which is there from its first mention on.
// It panics if the name is none, see [CheckName].
func (n *Network) Host(name string) *Host {
	if err := CheckName(name); err != nil {
		panic("sessiontest: " + err.Error())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		h = &Host{network: n, name: name, listeners: make(map[int]*listener), dialing: make(map[int]bool)}
		n.hosts[name] = h
	}
	return h
}

// Cut has everything between two hosts wait: bytes, ends and new connections.
// Nothing is lost if Mend comes, and nobody is told.
func (n *Network) Cut(a, b string) { n.impose(a, b, func(f *faults) { f.Cut = true }) }

// Mend ends a Cut.
func (n *Network) Mend(a, b string) { n.impose(a, b, func(f *faults) { f.Cut = false }) }

// Delay has what is sent from now on between two hosts arrive d later; a new
// connection takes twice that.
func (n *Network) Delay(a, b string, d time.Duration) {
	n.impose(a, b, func(f *faults) { f.Delay = d })
}

// DropAfter has every connection between two hosts reset when size more bytes
// were sent in one of its directions, counted from now for those that are there
// and from the start for later ones; with 0 that is at the next byte. They arrive, and nothing of the other
// direction that was on its way. A negative size ends that; Mend does not.
func (n *Network) DropAfter(a, b string, size int64) {
	n.impose(a, b, func(f *faults) { f.Drops, f.Left, f.Count = size >= 0, size, f.Count+1 })
}

// impose changes what is wrong with a link, in all processes of the network.
func (n *Network) impose(a, b string, f func(*faults)) {
	l := n.link(a, b)
	if n.member != nil {
		n.member.impose(a, b, f)
		return
	}
	l.change(f)
}

// link returns what is between two hosts. A host has a link to itself too.
func (n *Network) link(a, b string) *link {
	n.Host(a)
	n.Host(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[pairOf(a, b)]
	if l == nil {
		l = &link{changed: make(chan struct{}), conns: make(map[*conn]struct{})}
		n.links[pairOf(a, b)] = l
	}
	return l
}

// pairOf is two hosts in any order.
func pairOf(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// end closes everything, and everything that comes later.
func (n *Network) end() {
	n.mu.Lock()
	if !n.isOver() {
		close(n.ended)
	}
	var listeners []*listener
	for _, h := range n.hosts {
		for _, l := range h.listeners {
			listeners = append(listeners, l)
		}
	}
	var conns []*conn
	for _, l := range n.links {
		conns = append(conns, l.all()...)
	}
	n.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, c := range conns {
		_ = c.Close()
	}
}

func (n *Network) isOver() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// faults are what is wrong with a link. The fields are exported for the file in
// which processes tell each other.
type faults struct {
	Cut   bool
	Delay time.Duration
	Drops bool
	Left  int64  // bytes until a connection is dropped
	Count uint64 // of the calls of DropAfter: a later one counts anew
}

// A link is what connects two hosts.
type link struct {
	mu      sync.Mutex
	faults  faults
	changed chan struct{}      // closed at the next change of faults
	conns   map[*conn]struct{} // both ends of each, until both are closed
}

// change changes what is wrong, also for the connections that are there.
func (l *link) change(f func(*faults)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.faults)
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		c.in.change(func() { f(&c.in.faults) })
	}
}

// state returns what is wrong now, and what is closed when that changes.
func (l *link) state() (faults, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults, l.changed
}

// join makes the two ends of a new connection. free is called when both are
// closed.
func (l *link) join(a, b Addr, free func()) (*conn, *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there, back := newStream(l.faults), newStream(l.faults)
	ca, cb := newConn(l, a, b, back, there), newConn(l, b, a, there, back)
	ca.peer, cb.peer = cb, ca
	ca.free, cb.free = free, free
	l.conns[ca], l.conns[cb] = struct{}{}, struct{}{}
	return ca, cb
}

// forget takes a connection off the list once both ends are closed. Until then
// the one that is left writes into the other's stream, so faults act on it. An
// end in another process does not count. It reports whether they are.
func (l *link) forget(c *conn) (gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.closed = true
	if gone = c.peer == nil || c.peer.closed; gone {
		delete(l.conns, c)
		delete(l.conns, c.peer)
	}
	return gone
}

func (l *link) all() (conns []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

// An Addr is a host's name and a port.
type Addr struct {
	Host string
	Port int
}

// Network returns "testnet".
func (Addr) Network() string { return "testnet" }

// String returns host:port.
func (a Addr) String() string { return a.Host + ":" + strconv.Itoa(a.Port) }

// AddrPort returns an address of IPv6 for what cannot do without one, such as
// patterns of addresses: each host is a network fdxx:xxxx:xxxx:xxxx::/64 of its
// own, unique and local (RFC 4193), that depends on its name alone.
func (a Addr) AddrPort() netip.AddrPort {
	sum := sha256.Sum256([]byte(a.Host))
	ip := [16]byte{0: 0xfd, 15: 1}
	copy(ip[1:8], sum[:])
	return netip.AddrPortFrom(netip.AddrFrom16(ip), uint16(a.Port))
}
