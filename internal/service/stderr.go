//go:build linux || darwin || freebsd

package service

import (
	"bytes"
	"log/slog"
	"time"
)

const (
	// maxLine is how many bytes of a line on stderr the log gets.
	maxLine = 2 << 10
	// So many lines at once the log gets of one service, and then one more in
	// each stderrEvery.
	stderrBurst = 100
	stderrEvery = 100 * time.Millisecond
)

// A lineLog writes what a program says on stderr to the log, a line at a time.
type lineLog struct {
	log     *slog.Logger
	bucket  *bucket
	line    []byte
	cut     bool // the line was longer
	dropped int  // lines that were too many
}

func newLineLog(log *slog.Logger, b *bucket) *lineLog { return &lineLog{log: log, bucket: b} }

// write takes the next bytes. It never fails.
func (l *lineLog) write(p []byte) error {
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			l.add(p)
			return nil
		}
		l.add(p[:end])
		l.flush()
		p = p[end+1:]
	}
}

func (l *lineLog) add(p []byte) {
	n := min(len(p), maxLine-len(l.line))
	l.line = append(l.line, p[:n]...)
	l.cut = l.cut || n < len(p)
}

// flush logs the line; an empty one says nothing.
func (l *lineLog) flush() {
	if len(l.line) > 0 {
		l.say()
	}
	l.line, l.cut = l.line[:0], false
}

func (l *lineLog) say() {
	suppressed, ok := l.bucket.take(time.Now())
	if !ok {
		l.dropped++
		return
	}
	attrs := []any{"line", string(l.line)}
	if l.cut {
		attrs = append(attrs, "cut", true)
	}
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	l.log.Info("stderr", attrs...)
}
