//go:build linux || darwin || freebsd

package transport

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// A session and a plain connection from one place are one source.
func TestSource(t *testing.T) {
	for _, listen := range []func() (net.Listener, error){
		func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		func() (net.Listener, error) { return net.Listen("unix", filepath.Join(t.TempDir(), "s")) },
	} {
		l, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		_, want, err := Peer(accepted)
		if got := Source(addrPort(accepted.RemoteAddr()).Addr(), os.Getuid()); err != nil || got != want {
			t.Errorf("%s: %q, want %q, %v", l.Addr(), got, want, err)
		}
	}
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::1:2:3:4": "2001:db8::/64",
	} {
		if got := Source(netip.MustParseAddr(text), 0); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
