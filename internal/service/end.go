//go:build linux || darwin || freebsd

package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rexec/rex/session"
)

// What ended an instance, as the log has it under "how".
const (
	howExited    = "exited"       // the program, with a status
	howSignaled  = "signaled"     // the program, by a signal
	howUnknown   = "unknown"      // the program, and nobody saw how
	howIdle      = "idle"         // Limits.Idle
	howTotal     = "time"         // Limits.Total
	howInput     = "input_limit"  // Limits.Input
	howOutput    = "output_limit" // Limits.Output
	howAbandoned = "abandoned"    // stdout was held after the program's end
	howBroken    = "broken"       // stdout could not be read
	howLost      = "lost"         // the client
	howStopped   = "stopped"      // the service
)

// A cutError says why an instance was cut short.
type cutError struct {
	how string
	err error // what was met, if that says more
}

func (e *cutError) Error() string { return "cut: " + e.how }

var (
	// errCut ends a copy of an instance that was cut for it.
	errCut = errors.New("cut")
	// errRefused ends the copy to a program that reads no more.
	errRefused = errors.New("the program reads no more")
)

// A result is how an instance ended.
type result struct {
	exit session.Exit // of the program itself
	err  error        // exit is unknown
	cut  *cutError    // nil: all of the answer was sent
}

// how is the word for it.
func (r *result) how() string {
	switch {
	case r.cut != nil:
		return r.cut.how
	case r.err != nil:
		return howUnknown
	case r.exit.Signal != nil:
		return howSignaled
	}
	return howExited
}

// report logs the end.
func (i *instance) report(r result) {
	attrs := []slog.Attr{slog.String("how", r.how())}
	if r.cut != nil && r.cut.err != nil {
		attrs = append(attrs, slog.String("err", r.cut.err.Error()))
	}
	switch {
	case r.err != nil:
		attrs = append(attrs, slog.String("exit_err", r.err.Error()))
	case r.exit.Signal != nil:
		attrs = append(attrs, slog.String("signal", r.exit.Signal.Name))
	default:
		attrs = append(attrs, slog.Int("status", r.exit.Code))
	}
	attrs = append(attrs, slog.Int64("in", i.in.Load()), slog.Int64("out", i.out.Load()),
		slog.Duration("took", time.Since(i.began).Round(time.Microsecond)))
	if n := i.lines.dropped; n > 0 {
		attrs = append(attrs, slog.Int("stderr_dropped", n))
	}
	i.log.LogAttrs(context.Background(), slog.LevelInfo, "connection ended", attrs...)
}

func (s *Service) drain() time.Duration { return limit(s.Drain, defaultDrain) }
