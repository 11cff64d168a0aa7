//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var background = context.Background()

// wildTree is a script that starts every kind of child there is: in the group,
// in a session of its own with its parent gone (a double fork), the same with
// an empty environment, and ones that ignore or stop at signals. It prints
// "ready" when all of them run.
func wildTree(sleep string) string {
	const ready = `echo up`
	deaf := `trap "" HUP TERM INT; ` + ready + `; exec sleep ` + sleep
	return fmt.Sprintf(`
		up() { n=0; while [ $n -lt 5 ]; do read x && n=$((n+1)); done; echo ready; }
		{
			(%[2]s; exec sleep %[1]s) &
			(%[3]s) &
			setsid sh -c '(%[3]s) & exit 0'
			env -i /bin/sh -c 'PATH=%[4]s; export PATH; setsid sh -c "(%[2]s; exec sleep %[1]s) & exit 0"'
			setsid sh -c '(sh -c "%[2]s; kill -STOP \$\$; exec sleep %[1]s") & exit 0' &
			exec >&-
			%[5]s
		} | { up; cat >/dev/null; }`,
		sleep, ready, deaf, os.Getenv("PATH"), "exec sleep "+sleep)
}

const wildSleepers = 5 // and a sixth stops itself before that

func startWild(t *testing.T, s *Spawner, trap string) (*Process, string) {
	t.Helper()
	sleep := token()
	p := start(t, s, shell(trap+wildTree(sleep)))
	if line := readLine(t, p.Stdout()); line != "ready" {
		t.Fatalf("the tree says %q", line)
	}
	eventually(t, "the whole tree runs", func() bool { return sleepers(sleep) == wildSleepers })
	return p, sleep
}

func TestKillTree(t *testing.T) {
	holdingModes(t, func(t *testing.T, s *Spawner) {
		p, sleep := startWild(t, s, "")
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		wantDead(t, sleep)
		if state, err := p.Wait(); err != nil || state.SignalName != "KILL" {
			t.Errorf("%+v %v", state, err)
		}
		if err := errors.Join(p.Kill(), p.End(background), p.Release()); err != nil {
			t.Errorf("ending it again: %v", err)
		}
		if err := p.Kill(); !errors.Is(err, ErrReleased) {
			t.Errorf("kill after the release: %v", err)
		}
	})
}

// A tree that goes on making processes, each in a session of its own, is
// killed all the same.
func TestKillForkingTree(t *testing.T) {
	holdingModes(t, func(t *testing.T, s *Spawner) {
		sleep := token()
		p := start(t, s, shell("for i in 1 2 3; do (n=0; while [ $n -lt 3000 ]; do n=$((n+1)); (setsid sleep "+sleep+" &); done) & done; wait"))
		eventually(t, "some of them run", func() bool { return len(alive(sleep)) > 30 })
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		wantDead(t, sleep)
	})
}

func wantDead(t *testing.T, sleep string) {
	t.Helper()
	if pids := alive(sleep); len(pids) > 0 {
		t.Errorf("still alive: %v", pids)
	}
}

func TestEndTree(t *testing.T) {
	holdingModes(t, func(t *testing.T, s *Spawner) {
		p, sleep := startWild(t, s, `trap "" TERM HUP; `)
		var wg sync.WaitGroup
		for range 3 { // together, as a session and its time-out might
			wg.Go(func() {
				if err := p.End(background); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantDead(t, sleep)
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// A tree that goes at the first word does not wait for the grace to pass.
func TestEndObedientTree(t *testing.T) {
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		t.Run(string(mode), func(t *testing.T) {
			s := newSpawner(t, Options{Mode: mode, Grace: time.Hour})
			sleep := token()
			p := start(t, s, shell("sleep "+sleep+" & echo ready; kill -STOP $$; wait"))
			readLine(t, p.Stdout())
			if err := p.End(background); err != nil {
				t.Fatal(err)
			}
			if state, err := p.Wait(); err != nil || state.SignalName != "HUP" {
				t.Errorf("%+v %v", state, err)
			}
			wantDead(t, sleep)
		})
	}
}

// The end of the context, and a Kill, cut the grace short.
func TestEndCutShort(t *testing.T) {
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		t.Run(string(mode), func(t *testing.T) {
			s := newSpawner(t, Options{Mode: mode, Grace: time.Hour})
			for _, cut := range []func(*Process, context.CancelFunc){
				func(_ *Process, cancel context.CancelFunc) { cancel() },
				func(p *Process, _ context.CancelFunc) {
					if err := p.Kill(); err != nil {
						t.Error(err)
					}
				},
			} {
				ctx, cancel := context.WithCancel(t.Context())
				p := start(t, s, shell(`trap "echo term" TERM; trap "" HUP; echo ready; while :; do sleep 0.01; done`))
				readLine(t, p.Stdout())
				ended := make(chan error)
				go func() { ended <- p.End(ctx) }()
				readLine(t, p.Stdout()) // TERM has come: the ladder waits
				cut(p, cancel)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
}

// What the command wrote before it was killed can still be read.
func TestOutputSurvivesKill(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		const size = 50_000 // less than a pipe holds
		spec := shell("head -c 50000 /dev/zero; echo written >&2; exec sleep 100")
		spec.Stderr, spec.MergeStderr = true, false
		p := start(t, s, spec)
		readLine(t, p.Stderr())
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(p.Stdout()); err != nil || len(b) != size {
			t.Errorf("read %d bytes, %v; want %d", len(b), err, size)
		}
	})
}

// Background processes of a released command live on, in nobody's cgroup.
func TestReleaseWithBackground(t *testing.T) {
	needProc(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		sleep := token()
		t.Cleanup(func() { killPids(t, sleep) })
		spec := shell("for i in 1 2 3; do setsid sleep " + sleep + " & done >/dev/null 2>&1; sleep " + sleep + " >/dev/null 2>&1 & exit 0")
		p := start(t, s, spec)
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the background runs", func() bool { return sleepers(sleep) == 4 })
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
		if n := sleepers(sleep); n != 4 {
			t.Errorf("%d background processes left, want 4", n)
		}
		if err := p.Signal("TERM", ToTree); !errors.Is(err, ErrReleased) {
			t.Errorf("signal after the release: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// The next one must not mistake it for a leftover.
		newSpawner(t, Options{Mode: s.Mode()})
		if n := sleepers(sleep); n != 4 {
			t.Errorf("%d background processes left, want 4", n)
		}
	})
}

func killPids(t *testing.T, token string) {
	t.Helper()
	for _, pid := range alive(token) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, "all are dead", func() bool { return len(alive(token)) == 0 })
}

// A command that is released while it runs goes on, and its end is still reported.
func TestReleaseWhileRunning(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		spec := shell("read x; exit 9")
		spec.Stdin = true
		p := start(t, s, spec)
		if err := p.Release(); err != nil { // closes its stdin
			t.Fatal(err)
		}
		if state, err := p.Wait(); err != nil || state.Code != 9 {
			t.Errorf("%+v %v", state, err)
		}
	})
}

// scriptedTree dies when the script says so.
type scriptedTree struct {
	diesOf map[syscall.Signal]time.Duration // how long it takes
	dead   chan struct{}
	got    []string
	began  time.Time
}

func newScriptedTree(diesOf map[syscall.Signal]time.Duration) *scriptedTree {
	return &scriptedTree{diesOf: diesOf, dead: make(chan struct{}), began: time.Now()}
}

func (s *scriptedTree) signal(sigs ...syscall.Signal) error {
	for _, sig := range sigs {
		s.got = append(s.got, fmt.Sprint(time.Since(s.began), " ", signalName(sig)))
		if after, ok := s.diesOf[sig]; ok {
			delete(s.diesOf, sig)
			time.AfterFunc(after, func() { close(s.dead) })
		}
	}
	return nil
}

func (s *scriptedTree) kill() error    { return s.signal(syscall.SIGKILL) }
func (s *scriptedTree) release() error { return nil }

func (s *scriptedTree) awaitEmpty(ctx context.Context) error {
	return awaitTicks(ctx, func() (bool, error) {
		select {
		case <-s.dead:
			return true, nil
		default:
			return false, nil
		}
	})
}

func TestLadder(t *testing.T) {
	const grace = 5 * time.Second
	cases := []struct {
		name   string
		diesOf map[syscall.Signal]time.Duration
		want   []string
		took   time.Duration
		err    error
	}{
		{"at once", map[syscall.Signal]time.Duration{syscall.SIGHUP: 0}, []string{"0s HUP", "0s TERM", "0s CONT"}, 0, nil},
		{"slowly", map[syscall.Signal]time.Duration{syscall.SIGTERM: 2 * time.Second}, []string{"0s HUP", "0s TERM", "0s CONT"}, 2 * time.Second, nil},
		{"by force", map[syscall.Signal]time.Duration{syscall.SIGKILL: 0}, []string{"0s HUP", "0s TERM", "0s CONT", "5s KILL"}, grace, nil},
		{"never", nil, []string{"0s HUP", "0s TERM", "0s CONT", "5s KILL"}, grace + killPatience, ErrStillAlive},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree := newScriptedTree(c.diesOf)
				err := ladder(t.Context(), tree, grace)
				took := time.Since(tree.began)
				if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if took < c.took || took > c.took+2*lastTick {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if got := tree.got[:min(len(tree.got), len(c.want))]; strings.Join(got, ",") != strings.Join(c.want, ",") {
					t.Errorf("signals %q, want %q", tree.got, c.want)
				}
				if tries := len(tree.got); tries > 200 {
					t.Errorf("%d signals: that is a busy loop", tries)
				}
			})
		})
	}
}

// A tree that cannot be looked at is an error, not an endless loop.
func TestKillAllBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		if err := killAll(brokenTree{broken}); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	})
}

type brokenTree struct{ err error }

func (b brokenTree) signal(...syscall.Signal) error   { return b.err }
func (b brokenTree) kill() error                      { return b.err }
func (b brokenTree) awaitEmpty(context.Context) error { return b.err }
func (b brokenTree) release() error                   { return b.err }
