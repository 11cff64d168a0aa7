package session

import (
	"strings"
	"testing"

	"github.com/rexec/rex/internal/login"
)

// Whatever an address is, what is taken from it is a host and a port, and stood
// there.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"", "host", "host:22", "bob@host", "a@b@host:1", "[::1]", "[::1]:7390", "::1", "@", "@h", "h:", ":1", "[", "[]", "]:1", "-x", "a@-x", "h:65536", "h:0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		name, host, port, err := splitAddress(addr)
		if err != nil {
			return
		}
		if login.CheckHost(host) != nil || port < 0 || port > 65535 || !strings.Contains(addr, host) || !strings.HasPrefix(addr, name) {
			t.Errorf("%q: user %q, host %q, port %d", addr, name, host, port)
		}
		if name != "" && !strings.HasPrefix(addr, name+"@") {
			t.Errorf("%q: user %q", addr, name)
		}
	})
}
