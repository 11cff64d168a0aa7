package transport

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/rexec/rex/mux"
)

// keepAlive has the kernel find out about a peer that is silent while nothing
// is to be sent.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}
}

// NewDialer is the dialer of [DialTCP], for who needs other fields of it set.
func NewDialer() *net.Dialer { return &net.Dialer{KeepAliveConfig: keepAlive()} }

// cutOff ends all reading and writing of conn when ctx ends, until stop is
// called. If stop returns false it was too late.
func cutOff(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// Bounds of a window, in bytes.
const (
	minWindow = 256 << 10
	maxWindow = 16 << 20
)

// Window is how many bytes to let a peer send ahead on one stream, for a way of
// that round-trip time: twice what 1 Gbit/s holds, from 256 KiB to 16 MiB, and
// 256 KiB below a millisecond.
func Window(rtt time.Duration) int {
	if rtt < time.Millisecond {
		return minWindow
	}
	const bytesPerSecond = 1e9 / 8
	return int(min(max(2*bytesPerSecond*rtt.Seconds(), minWindow), maxWindow))
}

// pingEvery is how often a peer is asked for a sign of life where the kernel
// cannot be asked whether there is one.
const pingEvery = 5 * time.Minute

// linkConfig has a link end when the kernel of the peer is silent. A process
// that is stopped is not: its kernel still answers.
func linkConfig(conn net.Conn, log *slog.Logger) *mux.LinkConfig {
	cfg := &mux.LinkConfig{Log: log}
	if cfg.Watch = watcher(conn); cfg.Watch == nil {
		cfg.PingEvery = pingEvery
	}
	return cfg
}

// A SilentPeerError says that the peer's kernel has not answered for so long
// that the peer, or the way to it, is taken for gone.
type SilentPeerError struct {
	For time.Duration // since its last sign of life
}

func (e *SilentPeerError) Error() string {
	return "the peer has been silent for " + e.For.Round(time.Second).String()
}

// Timeout makes it a [net.Error] of its kind.
func (e *SilentPeerError) Timeout() bool { return true }
