//go:build !testnet

package testnet

import (
	"context"
	"net"
)

// Dialer returns nil: connect over TCP.
func Dialer(func(string) string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return nil
}

// Listener returns nil: listen on TCP.
func Listener(func(string) string) func(ctx context.Context, network, addr string) (net.Listener, error) {
	return nil
}
