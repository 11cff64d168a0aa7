package transport

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// dropping enters a connection that notes its name when it is dropped.
func dropping(g *gate, source, name string, limit int, dropped *[]string) *ticket {
	t := g.ticket(source, func() { *dropped = append(*dropped, name) })
	t.enter(limit)
	return t
}

func TestGateDropsOldestOfLargest(t *testing.T) {
	var dropped []string
	g := newGate(5)
	for i := range 3 {
		dropping(g, "big", fmt.Sprint("big", i), 5, &dropped)
	}
	dropping(g, "small", "small0", 5, &dropped)
	dropping(g, "other", "other0", 5, &dropped)
	for i := range 4 {
		dropping(g, "small", fmt.Sprint("small", i+1), 5, &dropped)
	}
	// The first of these finds three "big"; from then on "small" has most.
	if got := fmt.Sprint(dropped); got != "[big0 small0 small1 small2]" {
		t.Errorf("dropped %s", got)
	}
}

func TestGateLimitOfSource(t *testing.T) {
	var dropped []string
	g := newGate(100)
	for i := range 4 {
		dropping(g, "a", fmt.Sprint("a", i), 2, &dropped)
		dropping(g, "b", fmt.Sprint("b", i), 100, &dropped)
	}
	if got := fmt.Sprint(dropped); got != "[a0 a1]" {
		t.Errorf("dropped %s", got)
	}
}

// TestGateNewcomerStays has every source with one connection: the one that
// came last is never the one to go.
func TestGateNewcomerStays(t *testing.T) {
	g := newGate(3)
	var dropped []string
	for i := range 50 {
		name := fmt.Sprint(i)
		dropping(g, name, name, 1, &dropped)
	}
	for i, name := range dropped {
		if name != fmt.Sprint(i) {
			t.Fatalf("dropped %v", dropped)
		}
	}
}

// TestGateCounts enters and leaves at random, and compares with what must be
// pending.
func TestGateCounts(t *testing.T) {
	g := newGate(20)
	inside := make(map[*ticket]bool)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		if rng.IntN(2) == 0 {
			var tk *ticket
			tk = g.ticket(fmt.Sprint(rng.IntN(6)), func() { delete(inside, tk) })
			inside[tk] = true
			tk.enter(5)
		} else {
			for tk := range inside {
				delete(inside, tk)
				tk.leave()
				tk.leave()
				break
			}
		}
		if g.pending != len(inside) || g.pending > 20 {
			t.Fatalf("%d pending, %d inside", g.pending, len(inside))
		}
	}
	for tk := range inside {
		tk.leave()
	}
	if g.pending != 0 || len(g.sources) != 0 {
		t.Errorf("left: %d, %v", g.pending, g.sources)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	start := time.Now()
	for _, step := range []struct {
		after      time.Duration
		suppressed int
		ok         bool
	}{
		{0, 0, true},
		{time.Second, 0, false},
		{59 * time.Second, 0, false},
		{60 * time.Second, 2, true},
		{61 * time.Second, 0, false},
		{3 * time.Minute, 1, true},
		{5 * time.Minute, 0, true},
	} {
		if n, ok := l.ok(start.Add(step.after)); ok != step.ok || n != step.suppressed {
			t.Errorf("after %v: %d, %v", step.after, n, ok)
		}
	}
}
