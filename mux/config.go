package mux

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	minWindow = 256 << 10
	maxWindow = 16 << 20

	defaultMaxStreams   = 1000
	defaultMaxUnclaimed = 64
	defaultPatience     = 30 * time.Second

	// acceptBacklog is the same at both ends and above defaultMaxStreams, so that neither yamux's semaphore of
	// opened streams nor its queue of accepted ones can ever be full.
	acceptBacklog = 1024

	// never is a timeout that does not come: yamux damages streams when one of its own expires.
	never = time.Duration(1 << 62)
)

// Config is what one end of a session decides alone. The zero value is usable, and nil means the zero value.
type Config struct {
	// Window is how many bytes the peer may have in flight to this end on each stream: 256 KiB to 16 MiB, 0 is
	// 256 KiB. A stream that nobody reads holds up to twice as much memory. One stream's speed over a distance is
	// bounded by Window / (2 * round-trip time).
	Window int

	// MaxStreams is how many streams may be open at once, 1 to 1000, 0 is 1000. A server ends the connection when
	// the client has more open; a client waits in Open until one has finished. The client's figure must not be
	// above the server's.
	MaxStreams int

	// MaxUnclaimed is how many streams a server lets the client have opened without having announced them, 0 is
	// 64. Streams that wait only because the control stream has not been read yet do not count.
	MaxUnclaimed int

	// UnclaimedTimeout is how long a server lets a stream be unclaimed while no byte arrives on the control stream,
	// 0 is 30 s.
	UnclaimedTimeout time.Duration

	// Log receives what yamux has to say, at debug level. Nil discards it.
	Log *slog.Logger
}

// withDefaults returns a copy in which every field is set, or says which one is out of its bounds.
func (c *Config) withDefaults() (Config, error) {
	var full Config
	if c != nil {
		full = *c
	}
	setDefault(&full.Window, minWindow)
	setDefault(&full.MaxStreams, defaultMaxStreams)
	setDefault(&full.MaxUnclaimed, defaultMaxUnclaimed)
	if full.UnclaimedTimeout == 0 {
		full.UnclaimedTimeout = defaultPatience
	}
	if full.Log == nil {
		full.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case full.Window < minWindow || full.Window > maxWindow:
		return full, fmt.Errorf("mux: window of %d bytes is not within %d and %d", full.Window, minWindow, maxWindow)
	case full.MaxStreams < 1 || full.MaxStreams > defaultMaxStreams:
		return full, fmt.Errorf("mux: at most %d streams is not within 1 and %d", full.MaxStreams, defaultMaxStreams)
	case full.MaxUnclaimed < 1 || full.UnclaimedTimeout < 0:
		return full, fmt.Errorf("mux: bound of unclaimed streams is not positive")
	}
	return full, nil
}

func setDefault(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}

// yamuxConfig is made anew for every session, because yamux keeps and reads it for as long as the session lives.
func (c *Config) yamuxConfig() *yamux.Config {
	return &yamux.Config{
		AcceptBacklog:          acceptBacklog,
		EnableKeepAlive:        false,
		KeepAliveInterval:      defaultPatience, // unused, but must not be zero
		ConnectionWriteTimeout: never,
		MaxStreamWindowSize:    uint32(c.Window),
		StreamOpenTimeout:      0,
		StreamCloseTimeout:     0,
		Logger:                 debugLog{c.Log},
	}
}

// debugLog gives yamux's lines to slog at debug level, without the three that belong to healthy sessions.
type debugLog struct{ log *slog.Logger }

func (l debugLog) Print(v ...any)   { l.line(func() string { return fmt.Sprint(v...) }) }
func (l debugLog) Println(v ...any) { l.line(func() string { return fmt.Sprintln(v...) }) }
func (l debugLog) Printf(format string, v ...any) {
	l.line(func() string { return fmt.Sprintf(format, v...) })
}

func (l debugLog) line(text func() string) {
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	line := strings.TrimSpace(text())
	for _, noise := range [...]string{"frame for missing stream", "Discarding data", "Failed to write header"} {
		if strings.Contains(line, noise) {
			return
		}
	}
	l.log.Debug("yamux", "line", line)
}
