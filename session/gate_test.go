package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestGateZeroValueIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		in := make(chan error, 1)
		go func() { in <- g.enter(t.Context(), nil) }()
		synctest.Wait()
		if len(in) > 0 {
			t.Fatal("somebody is in")
		}
		g.setLimit(1)
		if err := <-in; err != nil {
			t.Error(err)
		}
	})
}

func TestGateIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 2}
		var mu sync.Mutex
		var order []int
		for i := range 10 {
			go func() {
				if err := g.enter(t.Context(), nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			}()
			synctest.Wait() // so that they come in their order
		}
		for n := 2; n < 10; n++ {
			if len(order) != n {
				t.Fatalf("%d are in, want %d", len(order), n)
			}
			g.leave()
			synctest.Wait()
		}
		if !slices.IsSorted(order) || len(order) != 10 {
			t.Errorf("order %v", order)
		}
	})
}

// Who comes while others wait does not get past them, even if there is a place.
func TestGateGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 1}
		if err := g.enter(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		results := make(chan error, 2)
		stop := make(chan struct{})
		go func() { results <- g.enter(ctx, nil) }()
		synctest.Wait()
		go func() { results <- g.enter(t.Context(), stop) }()
		synctest.Wait()
		last := make(chan error, 1)
		go func() { last <- g.enter(t.Context(), nil) }()
		synctest.Wait()
		cancel(errors.New("enough"))
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("context: %v", err)
		}
		close(stop)
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Errorf("stop: %v", err)
		}
		g.leave()
		if err := <-last; err != nil {
			t.Errorf("the last: %v", err)
		}
		if g.used != 1 || g.waiters.Len() != 0 {
			t.Errorf("%d in, %d wait", g.used, g.waiters.Len())
		}
	})
}

// A place that was given to somebody who gave up at that moment goes to the next: none is ever lost.
func TestGateLosesNoPlace(t *testing.T) {
	g := gate{limit: 3}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				if g.enter(ctx, nil) == nil {
					g.leave()
				}
			}
		})
	}
	wg.Wait()
	if g.used != 0 || g.waiters.Len() != 0 {
		t.Errorf("%d in, %d wait", g.used, g.waiters.Len())
	}
}

func TestGateLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 4}
		for range 4 {
			if err := g.enter(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		g.setLimit(2) // who is in stays
		in := make(chan error, 1)
		go func() { in <- g.enter(t.Context(), nil) }()
		for range 2 {
			synctest.Wait()
			if len(in) > 0 {
				t.Fatal("too many are in")
			}
			g.leave()
		}
		synctest.Wait()
		if len(in) > 0 {
			t.Fatal("too many are in")
		}
		g.setLimit(3)
		if err := <-in; err != nil || g.used != 3 {
			t.Errorf("%v, %d in", err, g.used)
		}
	})
}
