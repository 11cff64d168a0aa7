//go:build linux || darwin || freebsd

package daemon

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/transport"
)

// hostile has what a terminal acts upon.
const hostile = "a\x1b[2J\nb\u009b1m\u202ec\x7f\xffd"

func TestLogEscapes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log := newLogger(w, slog.LevelInfo)
	log.Debug("not this")
	log.Info("record", "text", hostile, "list", []string{hostile, "plain"}, "err", errors.New(hostile),
		"addr", transport.PeerAddr{UID: 7}, "number", 5, "plain", "Grüße")
	log.With("with", hostile).WithGroup("g").Info("grouped", "text", hostile)
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), out)
	}
	if strings.ContainsFunc(string(out), func(r rune) bool { return r != '\n' && r < ' ' || unsafeInJSON(r) }) {
		t.Errorf("something got through: %q", out)
	}
	record := make(map[string]any)
	if err := json.Unmarshal([]byte(lines[0]), &record); err != nil {
		t.Fatal(err)
	}
	want := "a\x1b[2J\nb\\u009b1m\\u202ec\\x7f\ufffdd"
	if record["text"] != want || record["err"] != want || record["addr"] != "uid=7" || record["number"] != 5.0 || record["plain"] != "Grüße" {
		t.Errorf("%q", record)
	}
	if !reflect.DeepEqual(record["list"], []any{want, "plain"}) {
		t.Errorf("list %q", record["list"])
	}
}

// TestLogOnTerminal: a device gets text.
func TestLogOnTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, ok := newLogger(null, slog.LevelInfo).Handler().(*slog.TextHandler); !ok {
		t.Error("no text for a device")
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, ok := newLogger(file, slog.LevelInfo).Handler().(*slog.JSONHandler); !ok {
		t.Error("no JSON for a file")
	}
}

func TestReportEscapes(t *testing.T) {
	var b strings.Builder
	report(&b, usageErrorf("do that with "+shellQuote("it's\x1b"), "%s\nsecond line", hostile))
	want := "rexd: error: a\\x1b[2J\nb\\u009b1m\\u202ec\\x7f\ufffdd\nsecond line\nrexd: hint: do that with 'it'\\''s\\x1b'\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
