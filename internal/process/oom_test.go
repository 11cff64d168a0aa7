//go:build unix

package process

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestOOMShield(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	file := filepath.Join(t.TempDir(), "oom_score_adj")
	for text, want := range map[string]bool{"-500\n": true, "-1\n": true, "0\n": false, "300\n": false, "": false, "x\n": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := newOOMShield(file, logger); (got != nil) != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if newOOMShield(file+"none", logger) != nil {
		t.Error("a shield without the kernel's file")
	}
	var none *oomShield
	called := false
	if none.lowered(func() { called = true }); !called {
		t.Error("nothing was called without a shield")
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", log.String())
	}
}

// While any start is under way the score is 0, and the own one afterwards.
func TestOOMShieldLowered(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "oom_score_adj")
	if err := os.WriteFile(file, []byte("-100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shield := newOOMShield(file, slog.New(slog.NewTextHandler(&log, nil)))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			shield.lowered(func() {
				if b, err := os.ReadFile(file); err != nil || string(b) != "0" {
					t.Errorf("at a start: %q, %v", b, err)
				}
			})
		})
	}
	wg.Wait()
	if b, err := os.ReadFile(file); err != nil || string(b) != "-100" || log.Len() > 0 {
		t.Errorf("afterwards: %q, %v; log %s", b, err, log.String())
	}
	shield.file += "/none"
	shield.lowered(func() {})
	if !strings.Contains(log.String(), "cannot be changed") {
		t.Errorf("log: %s", log.String())
	}
}

// What the kernel makes of it, where this process may lower its score.
func TestOOMScoreOfCommands(t *testing.T) {
	before, err := os.ReadFile(oomScoreFile)
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(oomScoreFile, []byte("-100"), 0); err != nil {
		t.Skipf("needs CAP_SYS_RESOURCE: %v", err)
	}
	defer os.WriteFile(oomScoreFile, before, 0)
	eachMode(t, func(t *testing.T, s *Spawner) {
		if out, _ := runOutput(t, s, command("/bin/cat", oomScoreFile)); out != "0\n" {
			t.Errorf("oom_score_adj %q", out)
		}
		if score, err := os.ReadFile(oomScoreFile); err != nil || string(score) != "-100\n" {
			t.Errorf("our own is %q, %v", score, err)
		}
	})
}
