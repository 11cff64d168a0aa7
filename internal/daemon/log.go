//go:build linux || darwin || freebsd

package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// newLogger logs to w: text on a terminal, JSON otherwise.
func newLogger(w *os.File, level slog.Leveler) *slog.Logger {
	if fi, err := w.Stat(); err == nil && fi.Mode()&os.ModeCharDevice != 0 {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: escapeAttr}))
}

// escapeAttr escapes what a terminal could act upon and JSON lets through:
// DEL, the C1 controls, and formatting characters such as those of direction.
// The handler escapes the rest, as the one for text does everything.
func escapeAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(escape(v))
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = escape(s)
		}
		a.Value = slog.AnyValue(list)
	case error:
		a.Value = slog.StringValue(escape(v.Error()))
	case fmt.Stringer:
		if a.Value.Kind() == slog.KindAny {
			a.Value = slog.StringValue(escape(v.String()))
		}
	}
	return a
}

func escape(s string) string { return escapeIf(s, unsafeInJSON) }

// escapeIf replaces the characters that are unsafe by their escapes.
func escapeIf(s string, unsafe func(rune) bool) string {
	if !strings.ContainsFunc(s, unsafe) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unsafeInJSON(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }

// unsafeOnTerminal lets the lines of a message through.
func unsafeOnTerminal(r rune) bool {
	return unsafeInJSON(r) || r < ' ' && r != '\n' && r != '\t'
}
