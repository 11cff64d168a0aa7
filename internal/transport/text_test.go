package transport

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rexec/rex/internal/auth"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"plain text, ok":          "plain text, ok",
		"Grüße 世界":                "Grüße 世界",
		"a\nb\tc\r":               `a\nb\tc\r`,
		"\x1b]0;title\x07":        `\x1b]0;title\a`,
		"\x00\x7f":                `\x00\x7f`,
		"\u0085\u009b":            `\u0085\u009b`,
		"\u202e\u2066\u200b":      `\u202e\u2066\u200b`,
		"\xff\xc3":                `\xff\xc3`,
		"\ufffd":                  "\ufffd",
		`back\slash`:              `back\slash`,
		strings.Repeat("x", 300):  strings.Repeat("x", 256) + "...",
		strings.Repeat("世", 100):  strings.Repeat("世", 85) + "...",
		strings.Repeat("\xff", 9): strings.Repeat(`\xff`, 9),
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[", "\xff\xfe", strings.Repeat("é", 200), strings.Repeat("\x80", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || len(got) > 8*auth.MaxText+3 {
			t.Fatalf("%q", got)
		}
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Fatalf("%q has %#x", got, r)
			}
		}
		if foreign([]byte(s)).Error() == "" {
			t.Fatal("no text")
		}
	})
}
