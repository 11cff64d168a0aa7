package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/internal/transport"
)

// Dial connects to the server at addr and starts a session. addr is
// unix:/path/to/socket, or host, host:port, [address]:port, each with user@ in
// front or not. The port is 7390, the user is the current one. The context
// bounds the connection and the login, not the session.
//
// On a Unix socket a command without a terminal and not to be kept whose Stdin, Stdout and Stderr
// are files that can be passed ([CanPass]), or nil, gets those themselves, over a
// connection of its own: no byte is copied, and none is counted. As with a
// shell, Wait then does not wait for what the command left in the background to
// close them.
//
// Over the network it uses what the current user's ssh would: the keys of the
// agent at $SSH_AUTH_SOCK and in ~/.ssh, and the known_hosts files there and in
// /etc/ssh. It never asks: a host that is not known is an error, and a key with
// a passphrase is for the agent. It returns when the server has accepted the
// login. The window of opts is set by [WindowFor] if it is 0.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		conn, err := transport.DialUnix(ctx, path, "")
		if err != nil {
			return nil, err
		}
		c, err := NewClient(conn, opts)
		if err == nil {
			c.passing.dial = dialCommand(path, "")
		}
		return c, err
	}
	cfg, err := loginConfig(addr)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	cfg.Log = o.Log
	conn, err := login.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if o.Window == 0 {
		o.Window = WindowFor(conn.RTT)
	}
	return NewClient(conn.Link, &o)
}

// UnixClient returns a Client for the Unix socket at path that connects for every
// command anew, as user, which is empty or an account of this process's
// effective uid, and gives the command its Stdin, Stdout, Stderr and ExtraFiles
// themselves: no byte is copied. It has no session: a command whose Stdin,
// Stdout and Stderr are not nil or files that can be passed ([CanPass]), or that
// has a terminal, cannot be started, nor can a service or one that is to be kept. [Dial] uses the one or the other as it fits.
//
// Start then also returns the errors of a connection. Close is as for a session.
func UnixClient(path, user string) *Client {
	return &Client{passing: passing{dial: dialCommand(path, user)}, readerDone: make(chan struct{})}
}

// dialCommand connects to a socket for one command.
func dialCommand(path, user string) func(context.Context, []byte, []int) (io.ReadWriteCloser, error) {
	return func(ctx context.Context, first []byte, files []int) (io.ReadWriteCloser, error) {
		return transport.DialUnixCommand(ctx, path, user, first, files)
	}
}

// WindowFor is the window for a connection with this round-trip time: 256 KiB
// below a millisecond, otherwise twice what 1 Gbit/s has under way in that
// time, between 256 KiB and 16 MiB.
func WindowFor(rtt time.Duration) int { return transport.Window(rtt) }

// loginConfig is a login as the current user would have it who is not there.
func loginConfig(addr string) (*login.Config, error) {
	name, host, port, err := splitAddress(addr)
	if err != nil {
		return nil, err
	}
	if name == "" {
		me, err := user.Current()
		if err != nil {
			return nil, err
		}
		name = me.Username
	}
	cfg := &login.Config{
		Host: host, Port: port, User: name,
		AuthSock: os.Getenv("SSH_AUTH_SOCK"), //nolint:forbidigo // Dial is for programs that have no surroundings of their own to give
	}
	if home, err := os.UserHomeDir(); err == nil {
		cfg.Home, cfg.CacheDir = home, filepath.Join(home, ".cache", "rex")
	}
	return cfg, nil
}

// splitAddress takes a host's address apart; what is not given is empty.
func splitAddress(addr string) (name, host string, port int, err error) {
	host = addr
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		if name, host = addr[:i], addr[i+1:]; name == "" {
			return "", "", 0, fmt.Errorf("no user before the @ in %q", addr)
		}
	}
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.HasPrefix(host, "["), strings.Count(host, ":") == 1:
		var number string
		if host, number, err = net.SplitHostPort(host); err != nil {
			return "", "", 0, fmt.Errorf("bad address %q: use host:port, or unix:/path", addr)
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return "", "", 0, fmt.Errorf("bad port in %q", addr)
		}
		port = int(n)
	}
	return name, host, port, login.CheckHost(host)
}
