package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/rexec/rex/internal/transport"
)

// Dial connects to the server at addr and starts a session as the current
// user. addr is unix:/path/to/socket. The context bounds the connection and the
// login, not the session.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	path, ok := strings.CutPrefix(addr, "unix:")
	if !ok {
		return nil, fmt.Errorf("session: unsupported address %q: use unix:/path", addr)
	}
	conn, err := transport.DialUnix(ctx, path, "")
	if err != nil {
		return nil, err
	}
	return NewClient(conn, opts)
}
