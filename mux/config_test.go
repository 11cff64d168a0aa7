package mux

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		cfg *Config
		ok  bool
	}{
		"nil":              {nil, true},
		"zero":             {&Config{}, true},
		"smallest window":  {&Config{Window: 256 << 10}, true},
		"largest window":   {&Config{Window: 16 << 20}, true},
		"window too small": {&Config{Window: 256<<10 - 1}, false},
		"window too large": {&Config{Window: 16<<20 + 1}, false},
		"window negative":  {&Config{Window: -1}, false},
		"one stream":       {&Config{MaxStreams: 1}, true},
		"too many streams": {&Config{MaxStreams: 1001}, false},
		"minus one stream": {&Config{MaxStreams: -1}, false},
		"unclaimed":        {&Config{MaxUnclaimed: -1}, false},
		"timeout":          {&Config{UnclaimedTimeout: -1}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.cfg.withDefaults(); (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if tt.ok {
				return
			}
			if _, err := Client(&script{}, tt.cfg); err == nil {
				t.Fatal("Client accepts it")
			}
			if _, err := Server(&script{}, tt.cfg); err == nil {
				t.Fatal("Server accepts it")
			}
		})
	}
}

func TestYamuxConfig(t *testing.T) {
	cfg, err := YamuxConfig(&Config{Window: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := yamux.VerifyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	switch {
	case cfg.AcceptBacklog != 1024, cfg.EnableKeepAlive, cfg.ConnectionWriteTimeout != 1<<62, cfg.StreamOpenTimeout != 0,
		cfg.StreamCloseTimeout != 0, cfg.MaxStreamWindowSize != 1<<20, cfg.LogOutput != nil:
		t.Fatalf("%+v", cfg)
	}
}

func TestTrapD4Logs(t *testing.T) {
	// Stock yamux writes to os.Stderr, also about exchanges in which nothing is wrong.
	lines := map[string]bool{
		"[WARN] yamux: frame for missing stream: Vsn:0":                  false,
		"[WARN] yamux: Discarding data for stream: 3":                    false,
		"[ERR] yamux: Failed to write header: closed":                    false,
		"[ERR] yamux: receive window exceeded (stream: 1, remain: 5000)": true,
	}
	for line, want := range lines {
		var debug, info bytes.Buffer
		l := debugLog{slog.New(slog.NewTextHandler(&debug, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		l.Printf("%s", line)
		l.Print(line)
		l.Println(line)
		debugLog{slog.New(slog.NewTextHandler(&info, nil))}.Print(line)
		if n := strings.Count(debug.String(), line); (n == 3) != want || info.Len() > 0 {
			t.Errorf("%q: %d lines at debug, above it %q", line, n, info.String())
		}
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Unix(1e9, 0)
	spend := func() (n int) {
		for b.spend(now) {
			n++
		}
		return n
	}
	if n := spend(); n != budgetBurst {
		t.Fatalf("burst of %d", n)
	}
	now = now.Add(time.Second)
	if n := spend(); n != budgetRate {
		t.Fatalf("%d in a second", n)
	}
	now = now.Add(time.Hour)
	if n := spend(); n != budgetBurst {
		t.Fatalf("burst of %d after a pause", n)
	}
}
