package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rexec/rex/internal/term"
)

// The rules of what rex says:
//
//   - Stdout is the remote command's. Only version, help and completion, which
//     run no command, write there.
//   - Everything else goes to stderr, or to the file of -E, one line each:
//     "rex: error: ...", "rex: hint: ...", "rex: warning: ...", and with -v
//     "rex: debug: ..." with the time since the start.
//   - Lower case, no full stop. Every error that a user can cause is followed
//     by a hint with something to type.
//   - At most one error per run: it is why rex exits with 255, or with 126 or
//     127 when the daemon could not start the command.
//   - Whatever is shown goes through escape: names and messages come from the
//     other side, and from argv, which a script may have filled.

// Levels of what is said; -v adds one, up to levelTrace.
const (
	levelQuiet = iota - 1 // errors and their hints only
	levelNormal
	levelVerbose // the steps and how long they took, and warnings of the packages below
	levelDebug   // and what these do
	levelTrace
)

// ui says things to the user. Its methods may be called concurrently.
type ui struct {
	start time.Time

	mu    sync.Mutex
	out   io.Writer
	level int

	// Of the terminal that out is; nil if it is none.
	raw     func() bool  // whether it needs a carriage return
	midLine *atomic.Bool // whether a line has to be ended first
}

func newUI(out io.Writer) *ui { return &ui{start: time.Now(), out: out} }

// fail says why rex gives up.
func (u *ui) fail(f *failure) {
	u.line("error", f.msg)
	if f.hint != "" {
		u.line("hint", f.hint)
	}
}

// warnf says what the user should know although the command goes on.
func (u *ui) warnf(format string, args ...any) {
	if u.verbosity() > levelQuiet {
		u.line("warning", fmt.Sprintf(format, args...))
	}
}

// debugf tells about a step at -v.
func (u *ui) debugf(format string, args ...any) {
	if u.verbosity() >= levelVerbose {
		ms := float64(time.Since(u.start)) / float64(time.Millisecond)
		u.line("debug", fmt.Sprintf("%7.1f ms  %s", ms, fmt.Sprintf(format, args...)))
	}
}

// inform shows a text that was asked for, such as the list of escapes, line by
// line.
func (u *ui) inform(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.write(text)
}

// panicked tells about a mistake in rex, and returns the failure to end with.
func (u *ui) panicked(p any) *failure {
	u.inform(fmt.Sprintf("%s\n", debug.Stack()))
	return fail(howLost, "internal error: %v", p).withHint("this is a mistake in rex; please report it with the lines above")
}

// logger is where the packages below tell what they do; nil without -v.
func (u *ui) logger() *slog.Logger {
	if u.verbosity() < levelVerbose {
		return nil
	}
	options := &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutOrigin}
	switch u.verbosity() {
	case levelDebug:
		options.Level = slog.LevelInfo
	case levelTrace:
		options.Level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(logWriter{u}, options))
}

// withoutOrigin leaves out what the line of rex's own has, and levels.
func withoutOrigin(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// logWriter makes lines of what a log handler writes, one a call.
type logWriter struct{ ui *ui }

func (w logWriter) Write(p []byte) (int, error) {
	text := strings.TrimPrefix(strings.TrimSuffix(string(p), "\n"), "msg=")
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		msg, _ := strconv.Unquote(quoted)
		text = msg + text[len(quoted):]
	}
	w.ui.debugf("%s", text)
	return len(p), nil
}

// configure sets what the command line says about what rex says.
func (u *ui) configure(level int, out io.Writer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.level = level
	if out != nil {
		u.out = out
	}
}

// onTerminal tells of the terminal that rex writes to, unless it is to a file.
func (u *ui) onTerminal(raw func() bool, midLine *atomic.Bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f, ok := u.out.(*os.File); ok && term.IsTerminal(f) {
		u.raw, u.midLine = raw, midLine
	}
}

func (u *ui) verbosity() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.level
}

// line writes one line. Errors of stderr have nowhere to go.
func (u *ui) line(kind, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.write("rex: " + kind + ": " + escape(text) + "\n")
}

func (u *ui) write(text string) {
	if u.midLine != nil && u.midLine.Swap(false) {
		text = "\n" + text
	}
	if u.raw != nil && u.raw() {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	_, _ = io.WriteString(u.out, text)
}

// escape makes a text that may come from the other side fit for a terminal and
// for one line: characters that print stay, every other byte becomes \xNN.
// That is every control character, C1 and DEL included, whatever turns the
// direction of text, and what is not UTF-8.
func escape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if (r != utf8.RuneError || n > 1) && unicode.IsPrint(r) {
			b.WriteString(s[:n])
		} else {
			for i := range n {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			}
		}
		s = s[n:]
	}
	return b.String()
}
