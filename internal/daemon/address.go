//go:build linux || darwin || freebsd

package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const hintAddress = "use host:port, for example --listen :7390, or unix:/path, for example --listen unix:/run/rex/rexd.sock"

// An address is one to listen on.
type address struct {
	path string // of a socket; empty for TCP
	tcp  string // host:port
}

// String is the address as it is written.
func (a address) String() string {
	if a.path != "" {
		return "unix:" + a.path
	}
	return a.tcp
}

// same reports whether both are one address, as far as their texts tell. Port 0
// is another one each time.
func (a address) same(b address) bool {
	if a.path != "" || b.path != "" {
		return a.path == b.path
	}
	pa, errA := netip.ParseAddrPort(a.tcp)
	pb, errB := netip.ParseAddrPort(b.tcp)
	return !strings.HasSuffix(a.tcp, ":0") && (a.tcp == b.tcp || errA == nil && errB == nil && pa == pb)
}

// parseAddresses parses addresses, of which none is there twice.
func parseAddresses(texts []string) ([]address, error) {
	var addrs []address
	for _, text := range texts {
		addr, err := parseAddress(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(addrs, addr.same) {
			return nil, fmt.Errorf("%q is named twice", text)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// parseAddress parses unix:/path or host:port.
func parseAddress(text string) (address, error) {
	path, ok := strings.CutPrefix(text, "unix:")
	switch {
	case !ok && strings.Contains(text, "://"):
		return address{}, fmt.Errorf("%q has a scheme, and an address of TCP has none: %s", text, text[strings.Index(text, "://")+3:])
	case !ok && strings.HasPrefix(text, "/"):
		return address{}, fmt.Errorf("%q lacks its scheme: unix:%s", text, text)
	case !ok && !strings.Contains(text, ":"):
		return address{}, fmt.Errorf("%q is not an address", text)
	case !ok:
		if err := checkHostPort(text); err != nil {
			return address{}, err
		}
		return address{tcp: text}, nil
	case !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0):
		return address{}, fmt.Errorf("%q does not have the absolute path of a socket", text)
	}
	return address{path: path}, nil
}

// checkHostPort wants an address or a name, or nothing for all addresses, and
// a number.
func checkHostPort(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		bare := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		if _, ipErr := netip.ParseAddr(bare); ipErr == nil {
			return fmt.Errorf("%q has no port: %s", text, net.JoinHostPort(bare, "7390"))
		}
		return fmt.Errorf("%q is not host:port (an IPv6 address needs brackets)", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q does not have a port from 0 to 65535", text)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.ContainsFunc(host, notInName) {
		return fmt.Errorf("%q does not have the name or address of a host", text)
	}
	return nil
}

func notInName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_')
}
