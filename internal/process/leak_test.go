//go:build unix

package process

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// usage counts what a leak would show in.
type usage struct{ descriptors, goroutines, threads, children int }

func currentUsage() usage {
	tasks, _ := os.ReadDir("/proc/self/task")
	return usage{len(openDescriptors()), runtime.NumGoroutine(), len(tasks), len(leftovers())}
}

// settle waits until the figures are back: the goroutine that closes
// something may still be on its last line.
func settle(t *testing.T, before usage) {
	t.Helper()
	var now usage
	defer func() {
		if t.Failed() {
			t.Logf("before %+v, now %+v: %q %q", before, now, openDescriptors(), leftovers())
		}
	}()
	eventually(t, "nothing is left", func() bool {
		now = currentUsage()
		return now.descriptors <= before.descriptors && now.goroutines <= before.goroutines && now.children <= before.children
	})
	// Threads are kept by the runtime once it has them, so they have a margin.
	if now.threads > before.threads+20 {
		t.Errorf("%d threads, %d before", now.threads, before.threads)
	}
}

// oneOfEach runs commands that end in every way there is.
func oneOfEach(s *Spawner, i int) error {
	specs := []*Spec{
		{Path: "true", Args: []string{"true"}, Stdin: true, Stdout: true, Stderr: true},
		{Path: "no-such-program", Args: []string{"x"}, Stdin: true, Stdout: true, Stderr: true},
		{Path: "sleep", Args: []string{"sleep", "100"}, Stdout: true, MergeStderr: true},
		{Path: "sh", Args: []string{"sh", "-c", "echo x; exec cat"}, Term: &Term{}},
		{Path: "true", Args: []string{"true"}, Dir: "/no/such/directory", Term: &Term{}},
	}
	p, err := s.Start(background, specs[i%len(specs)])
	if err != nil {
		if _, ok := errors.AsType[*StartError](err); ok && i%len(specs)%3 == 1 {
			return nil
		}
		return err
	}
	switch i % len(specs) {
	case 0:
		if _, err := io.ReadAll(p.Stdout()); err != nil {
			return err
		}
	case 2:
		err = p.Kill()
	case 3:
		err = p.End(background)
	}
	_, waitErr := p.Wait()
	return errors.Join(err, waitErr, p.Release())
}

func TestNoLeakSequential(t *testing.T) {
	needProc(t)
	rounds := 150
	if testing.Short() {
		rounds = 60
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		run := func(n int) {
			for i := range n {
				if err := oneOfEach(s, i); err != nil {
					t.Fatal(err)
				}
			}
		}
		run(10) // first use of this and that
		before := currentUsage()
		run(rounds)
		settle(t, before)
	})
}

func TestNoLeakParallel(t *testing.T) {
	needProc(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		run := func(n int) {
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					if err := oneOfEach(s, i); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		run(64)
		before := currentUsage()
		run(64)
		settle(t, before)
	})
}

// A running command holds no thread.
func TestNoThreadPerCommand(t *testing.T) {
	needProc(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		var ps []*Process
		more := func(n int) {
			for range n {
				spec := command("sleep", "100")
				spec.Stdin = true
				p := start(t, s, spec)
				go func() { _ = p.Stdout().WaitReadable() }()
				ps = append(ps, p)
			}
		}
		more(10)
		before := currentUsage()
		more(50)
		if now := currentUsage(); now.threads > before.threads+10 {
			t.Errorf("50 commands more: from %d to %d threads", before.threads, now.threads)
		}
		for p := range slices.Values(ps) {
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
			_ = p.Release()
		}
	})
}

func startAndEnd(s *Spawner) error {
	p, err := s.Start(background, &Spec{Path: "/bin/true", Args: []string{"true"}, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return errors.Join(err, p.Release())
}
