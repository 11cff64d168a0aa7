package cli

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain, 'quoted' \"text\"", "plain, 'quoted' \"text\""},
		{"grüße 世界 🙂", "grüße 世界 🙂"},
		{"a\nb\tc\rd", `a\x0ab\x09c\x0dd`},
		{"\x1b[31mred\x1b]0;t\x07", `\x1b[31mred\x1b]0;t\x07`},
		{"\x00\x7f", `\x00\x7f`},
		{"\u009b31m", `\xc2\x9b31m`},
		{"\x9b", `\x9b`},
		{"\xff\xc3(", `\xff\xc3(`},
		{"a\u202eb\u2066c\u2069", `a\xe2\x80\xaeb\xe2\x81\xa6c\xe2\x81\xa9`},
		{"a\u2028b\ufeff", `a\xe2\x80\xa8b\xef\xbb\xbf`},
		{"\ufffd", "\ufffd"},
		{`back\slash`, `back\slash`},
		{"", ""},
	} {
		if got := escape(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[m\u202e\xff世")
	f.Fuzz(func(t *testing.T, s string) {
		out := escape(s)
		if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q: %q", s, out)
		}
	})
}

func TestUILevels(t *testing.T) {
	for level, want := range map[int]string{
		levelQuiet:   "rex: error: e\nrex: hint: h\n",
		levelNormal:  "rex: error: e\nrex: hint: h\nrex: warning: w\n",
		levelVerbose: "rex: error: e\nrex: hint: h\nrex: warning: w\nrex: debug: ",
	} {
		var out bytes.Buffer
		u := newUI(&out)
		u.configure(level, nil)
		u.fail(&failure{msg: "e", hint: "h"})
		u.warnf("%s", "w")
		u.debugf("d")
		if got := out.String(); !strings.HasPrefix(got, want) || level < levelVerbose && got != want {
			t.Errorf("level %d:\n%s", level, got)
		}
	}
}

// On a raw terminal lines end with a carriage return, and what the other side
// sent cannot end one.
func TestUIRaw(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	u.raw = func() bool { return true }
	u.fail(&failure{msg: "evil\nrex: hint: rm -rf"})
	if got, want := out.String(), "rex: error: evil\\x0arex: hint: rm -rf\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUILogger(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	if u.logger() != nil {
		t.Error("a logger without -v")
	}
	u.configure(levelTrace, nil)
	u.logger().Debug("hello", "evil", "\x1b[m\n")
	if got := out.String(); !strings.Contains(got, "hello") || strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	if f := u.panicked("boom"); f.msg != "internal error: boom" || f.hint == "" || !strings.Contains(out.String(), "goroutine") {
		t.Errorf("%+v %q", f, out.String())
	}
}

// What rex says on a terminal does not begin in the middle of a line, and only
// there ends one first.
func TestUIMidLine(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	var midLine atomic.Bool
	u.midLine = &midLine
	midLine.Store(true)
	u.warnf("a")
	u.warnf("b")
	if got, want := out.String(), "\nrex: warning: a\nrex: warning: b\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	u = newUI(&out)
	if u.onTerminal(nil, &midLine); u.midLine != nil {
		t.Error("a buffer is no terminal")
	}
}

// What the packages below say has the form of all that -v shows.
func TestUILoggerForm(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	u.configure(levelVerbose, nil)
	log := u.logger()
	log.Info("not at this level")
	log.Warn("two words", "file", "a b", "line", 3)
	if got := out.String(); !strings.HasSuffix(got, " ms  two words file=\"a b\" line=3\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}
