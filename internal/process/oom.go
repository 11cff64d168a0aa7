//go:build unix

package process

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
)

const oomScoreFile = "/proc/self/oom_score_adj"

// oomShield is a negative oom_score_adj of this program, see proc(5): meant for
// the daemon, and not for what it starts. Nil is none.
type oomShield struct {
	file  string
	score string
	log   *slog.Logger

	mu     sync.Mutex
	starts int // that are under way
}

// newOOMShield returns the shield of this process, nil if it has none.
func newOOMShield(file string, log *slog.Logger) *oomShield {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	score := strings.TrimSpace(string(text))
	if n, err := strconv.Atoi(score); err != nil || n >= 0 {
		return nil
	}
	return &oomShield{file: file, score: score, log: log}
}

// lowered calls f while this process has no shield: a child has the score of
// its parent at the fork, so nothing that the child starts can be too early for
// a change.
func (s *oomShield) lowered(f func()) {
	if s == nil {
		f()
		return
	}
	s.change(1)
	defer s.change(-1)
	f()
}

func (s *oomShield) change(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts += by
	score := s.score
	switch {
	case s.starts == 1 && by > 0:
		score = "0"
	case s.starts > 0:
		return // others are under way
	}
	if err := os.WriteFile(s.file, []byte(score), 0); err != nil {
		s.log.Warn("oom_score_adj cannot be changed", "to", score, "err", err)
	}
}
