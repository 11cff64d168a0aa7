//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"strings"
)

const hintAddress = "use unix:/path, for example --listen unix:/run/rex/rexd.sock"

// errNetwork is about host:port.
var errNetwork = errors.New("this version listens on Unix sockets only, not on the network")

// parseAddress returns the path of a socket's address, unix:/path.
func parseAddress(addr string) (path string, err error) {
	path, ok := strings.CutPrefix(addr, "unix:")
	switch {
	case !ok && strings.HasPrefix(addr, "/"):
		return "", fmt.Errorf("%q lacks its scheme: unix:%s", addr, addr)
	case !ok && strings.Contains(addr, ":"):
		return "", fmt.Errorf("%q: %w", addr, errNetwork)
	case !ok:
		return "", fmt.Errorf("%q is not an address", addr)
	case !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0):
		return "", fmt.Errorf("%q does not have the absolute path of a socket", addr)
	}
	return path, nil
}
