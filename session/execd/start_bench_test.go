//go:build linux

package execd

import (
	"os"
	"testing"

	"github.com/rexec/rex/session"
)

// BenchmarkStart starts and releases /bin/true, as this process's own user and
// as one who logged in.
func BenchmarkStart(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root, to become somebody else")
	}
	for name, login := range map[string]any{
		"own":   nil,
		"login": &Login{User: "nobody", UID: 65533, GID: 65533, Groups: []int{65533}, Home: "/", Shell: "/bin/sh", Exact: true},
	} {
		b.Run(name, func(b *testing.B) {
			h, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			for b.Loop() {
				p, err := h.Start(b.Context(), &session.Request{Peer: session.Peer{Login: login}, Argv: []string{"/bin/true"}})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
				if err := p.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
