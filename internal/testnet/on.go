//go:build testnet

package testnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/rexec/rex/session/sessiontest"
)

// variable names the network and this program's host: directory:network:host.
const variable = "REX_TESTNET"

// Dialer returns what connects instead of TCP, nil for TCP. The network is joined
// at the first call, and left by the end of the process.
func Dialer(getenv func(string) string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	join := joiner(getenv(variable))
	if join == nil {
		return nil
	}
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, err := join()
		if err != nil {
			return nil, err
		}
		return host.Dial(ctx, addr)
	}
}

// Listener returns what listens instead of TCP, nil for TCP, as Dialer does. An
// address without a host is this program's own.
func Listener(getenv func(string) string) func(ctx context.Context, network, addr string) (net.Listener, error) {
	join := joiner(getenv(variable))
	if join == nil {
		return nil
	}
	return func(ctx context.Context, _, addr string) (net.Listener, error) {
		host, err := join()
		if err != nil {
			return nil, err
		}
		name, number, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if name != "" && name != host.Name() {
			return nil, fmt.Errorf("%s says that this is host %q, which cannot listen on %q", variable, host.Name(), addr)
		}
		port, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("%q does not have the number of a port", addr)
		}
		return host.Listen(ctx, port)
	}
}

// joiner returns what joins the network of a variable's value, once; nil if it
// has none.
func joiner(value string) func() (*sessiontest.Host, error) {
	if value == "" {
		return nil
	}
	return sync.OnceValues(func() (*sessiontest.Host, error) {
		dir, network, host, err := split(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		n, err := sessiontest.Join(dir, network)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		return n.Host(host), nil
	})
}

// split splits at the last two colons, which names do not have.
func split(value string) (dir, network, host string, err error) {
	last := strings.LastIndexByte(value, ':')
	first := strings.LastIndexByte(value[:max(last, 0)], ':')
	if first < 1 {
		return "", "", "", errors.New("it is directory:network:host, for example /tmp/nets:mynet:web1")
	}
	dir, network, host = value[:first], value[first+1:last], value[last+1:]
	return dir, network, host, errors.Join(sessiontest.CheckName(network), sessiontest.CheckName(host))
}
