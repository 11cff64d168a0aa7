//go:build unix

package authorize

import (
	"context"
	"sync"
	"time"

	"github.com/rexec/rex/internal/account"
)

const (
	// maxLookups bounds how many look-ups may be under way: each may start
	// programs, and anybody can ask for any name.
	maxLookups = 8
	// lookupAge is how long a result counts.
	lookupAge = 2 * time.Second
	// maxKnown bounds the results that are kept.
	maxKnown = 256
)

// A directory remembers accounts for a moment, and that there is none. Its
// methods may be called concurrently.
type directory struct {
	ask   func(context.Context, string) (*account.Account, error)
	slots chan struct{}

	mu    sync.Mutex
	known map[string]*found
}

// found is the result of a look-up.
type found struct {
	done    chan struct{} // closed when the rest is set
	expires time.Time
	account *account.Account
	err     error
	gaveUp  bool // whoever asked; it says nothing then
}

func newDirectory(ask func(context.Context, string) (*account.Account, error)) *directory {
	return &directory{ask: ask, slots: make(chan struct{}, maxLookups), known: map[string]*found{}}
}

// lookup asks, or waits for who asks for the same name.
func (d *directory) lookup(ctx context.Context, name string) (*account.Account, error) {
	for {
		f, mine := d.enter(name)
		if mine {
			d.find(ctx, name, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !f.gaveUp {
			return f.account, f.err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// enter returns the result for a name; mine tells the caller to find it.
func (d *directory) enter(name string) (f *found, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if f := d.known[name]; f != nil && (f.expires.IsZero() || now.Before(f.expires)) {
		return f, false
	}
	if len(d.known) >= maxKnown {
		for name, f := range d.known {
			if !f.expires.IsZero() {
				delete(d.known, name)
			}
		}
	}
	f = &found{done: make(chan struct{})}
	d.known[name] = f
	return f, true
}

// find asks. Who asked and gave up leaves no result.
func (d *directory) find(ctx context.Context, name string, f *found) {
	var a *account.Account
	var err error
	select {
	case d.slots <- struct{}{}:
		a, err = d.ask(ctx, name)
		<-d.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.account, f.err, f.gaveUp = a, err, ctx.Err() != nil
	f.expires = time.Now().Add(lookupAge)
	if f.gaveUp {
		delete(d.known, name)
	}
	close(f.done)
}
