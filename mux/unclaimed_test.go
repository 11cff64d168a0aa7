package mux

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a server's guard in a bubble, with its own clock and a control stream that is being read.
func crowd(t *testing.T) *guard {
	g := testGuard(t, &script{}, true)
	g.now = time.Now
	feed(t, g, syn(1))
	g.controlWaits()
	return g
}

func feed(t *testing.T, g *guard, frames ...frame) {
	t.Helper()
	for _, f := range frames {
		if _, err := g.observe(enc(f)); err != nil {
			g.fail(err)
		}
	}
}

func violated(g *guard) bool {
	_, ok := errors.AsType[*ViolationError](g.ended())
	return ok
}

func claimAll(t *testing.T, g *guard, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		if _, err := g.claim(g.lookup(id), receiving, nil); err != nil {
			t.Fatalf("claim %d: %v", id, err)
		}
	}
}

func TestUnclaimedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		feed(t, g, syns(defaultMaxUnclaimed, 3)...)
		if violated(g) {
			t.Fatal("as many as allowed end the session")
		}
		feed(t, g, syn(1001))
		if !violated(g) {
			t.Fatal("one more is no violation")
		}
	})
}

func TestUnclaimedCountWaitsForControlReader(t *testing.T) {
	// The guard is ahead of the reader: a burst of healthy commands looks unclaimed until the reader has run.
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		var ids []uint32
		for id := uint32(3); id < 3+2*300; id += 2 {
			feed(t, g, syn(id), body(1, 8))
			ids = append(ids, id)
		}
		if violated(g) {
			t.Fatal("streams count that were announced and not read yet")
		}
		g.controlTook(300 * 8)
		claimAll(t, g, ids[:300-defaultMaxUnclaimed]...)
		g.controlWaits()
		if violated(g) {
			t.Fatal("as many as allowed end the session")
		}
		feed(t, g, body(1, 1))
		g.controlTook(1)
		feed(t, g, syn(1001))
		if violated(g) {
			t.Fatal("judged while the reader acts on what it was given")
		}
		g.controlWaits()
		if !violated(g) {
			t.Fatal("one more is no violation")
		}
	})
}

func TestUnclaimedAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		feed(t, g, syn(3))
		for range 5 {
			time.Sleep(defaultPatience - time.Second)
			feed(t, g, body(1, 1))
			g.controlTook(1)
			g.controlWaits()
		}
		if violated(g) {
			t.Fatal("violation though the control stream speaks")
		}
		time.Sleep(defaultPatience - time.Second)
		synctest.Wait()
		if violated(g) {
			t.Fatal("violation too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !violated(g) {
			t.Fatal("no violation")
		}
	})
}

func TestUnclaimedAgeOfClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		for id := uint32(3); id < 20; id += 2 {
			feed(t, g, syn(id))
			time.Sleep(defaultPatience - time.Second)
			claimAll(t, g, id)
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		if violated(g) {
			t.Fatal(g.ended())
		}
	})
}

func TestUnclaimedAgeWaitsForControlReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		feed(t, g, syn(3), body(1, 5))
		time.Sleep(time.Hour)
		synctest.Wait()
		if violated(g) {
			t.Fatal("violation though the announcement has not been read")
		}
		g.controlTook(5)
		claimAll(t, g, 3)
	})
}

func TestSlowControlFrameCountsAsSpeech(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		feed(t, g, syn(3))
		for _, b := range [][]byte{enc(body(1, 10))[:headerSize], {1}, {2}, {3}, {4}} {
			time.Sleep(defaultPatience - time.Second)
			g.observe(b)
		}
		synctest.Wait()
		if violated(g) {
			t.Fatal("violation though bytes come, slowly")
		}
	})
}

func TestGivenUpStreamsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := crowd(t)
		var drops []uint32
		g.onDrop = func(f *flow) { drops = append(drops, f.id) }
		for id := uint32(3); id < 3+2*200; id += 2 {
			feed(t, g, syn(id), fin(id))
		}
		if violated(g) || len(drops) != 200-defaultMaxUnclaimed || drops[0] != 3 {
			t.Fatalf("%v, dropped %v", g.ended(), drops)
		}
		if _, err := g.claim(g.lookup(3), receiving, nil); err != ErrUnknownStream {
			t.Fatalf("claim of a dropped stream: %v", err)
		}
		claimAll(t, g, 401)
		time.Sleep(2 * defaultPatience)
		synctest.Wait()
		if violated(g) || len(drops) != 199 {
			t.Fatalf("%v, dropped %d", g.ended(), len(drops))
		}
	})
}
