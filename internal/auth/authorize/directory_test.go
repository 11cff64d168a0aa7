//go:build unix

package authorize

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/internal/account"
)

func TestDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		d := newDirectory(func(_ context.Context, name string) (*account.Account, error) {
			asked++
			if name == "ghost" {
				return nil, account.ErrNotFound
			}
			return &account.Account{Name: name}, nil
		})
		look := func(name string, want int) {
			t.Helper()
			a, err := d.lookup(t.Context(), name)
			if asked != want || (name == "ghost") != errors.Is(err, account.ErrNotFound) || err == nil && a.Name != name {
				t.Errorf("%s: %+v, %v, asked %d times, want %d", name, a, err, asked, want)
			}
		}
		look("alice", 1)
		look("alice", 1)
		look("ghost", 2)
		look("ghost", 2)
		time.Sleep(lookupAge + 1)
		look("alice", 3)
		look("ghost", 4)
		for i := range 3 * maxKnown {
			look(fmt.Sprint(i), 5+i)
		}
		if len(d.known) > maxKnown {
			t.Errorf("%d are kept", len(d.known))
		}
	})
}

// TestDirectoryTogether has many ask for one name at once.
func TestDirectoryTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, make(chan struct{})
		d := newDirectory(func(context.Context, string) (*account.Account, error) {
			asked++
			<-answer
			return &account.Account{Name: "alice"}, nil
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if a, err := d.lookup(t.Context(), "alice"); err != nil || a.Name != "alice" {
					t.Error(a, err)
				}
			})
		}
		synctest.Wait()
		close(answer)
		wg.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestDirectoryGivesUp has who asks go away: who waits asks again.
func TestDirectoryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		d := newDirectory(func(ctx context.Context, name string) (*account.Account, error) {
			asked++
			if asked == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &account.Account{Name: name}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.lookup(ctx, "alice"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if a, err := d.lookup(t.Context(), "alice"); err != nil || a.Name != "alice" {
				t.Error(a, err)
			}
		})
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := d.lookup(impatient, "alice"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		wg.Wait()
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestDirectoryBounded has many ask for as many names.
func TestDirectoryBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		answer := make(chan struct{})
		d := newDirectory(func(context.Context, string) (*account.Account, error) {
			if running.Add(1) > maxLookups {
				t.Error("too many at once")
			}
			defer running.Add(-1)
			<-answer
			return nil, account.ErrNotFound
		})
		var wg sync.WaitGroup
		for i := range 5 * maxLookups {
			wg.Go(func() { _, _ = d.lookup(t.Context(), fmt.Sprint(i)) })
		}
		synctest.Wait()
		if running.Load() != maxLookups {
			t.Errorf("%d at once", running.Load())
		}
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := d.lookup(late, "late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(answer)
		wg.Wait()
	})
}
