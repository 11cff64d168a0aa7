//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		var wg sync.WaitGroup
		limit := make(chan struct{}, 16)
		for code := range 256 {
			limit <- struct{}{}
			wg.Go(func() {
				defer func() { <-limit }()
				if err := checkExit(s, code); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// checkExit starts a command that exits with that code, and releases it.
func checkExit(s *Spawner, code int) error {
	p, err := s.Start(background, &Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "exit " + strconv.Itoa(code)}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err != nil || state.Code != code || state.Signal != 0 || state.SignalName != "" {
		return errors.Join(err, fmt.Errorf("exit %d: %+v", code, state))
	}
	return p.Release()
}

// Statuses are exact beside os/exec in the same process, which any wait for
// "some child" would rob of them, and be robbed by.
func TestExitCodesBesideExec(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		var wg sync.WaitGroup
		limit := make(chan struct{}, 32) // more at once only wait for each other
		for code := range 200 {
			limit <- struct{}{}
			wg.Go(func() {
				defer func() { <-limit }()
				if err := checkExit(s, code); err != nil {
					t.Error(err)
				}
			})
			if code%4 == 0 {
				wg.Go(func() {
					err := exec.Command("/bin/sh", "-c", "exit "+strconv.Itoa(code)).Run()
					if e, ok := errors.AsType[*exec.ExitError](err); (ok && e.ExitCode() != code) || (!ok && code != 0) {
						t.Errorf("os/exec: %v, want exit %d", err, code)
					}
				})
			}
		}
		wg.Wait()
	})
}

func TestKilledBySignals(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, c := range []struct {
			name   string
			number int
		}{{"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"KILL", 9}, {"SEGV", 11}, {"PIPE", 13}, {"TERM", 15}} {
			p := start(t, s, command("sleep", "100"))
			if err := p.Signal(c.name, ToProcess); err != nil {
				t.Fatal(err)
			}
			state, err := p.Wait()
			if err != nil || state.Signal != c.number || state.SignalName != c.name || state.Code != -1 {
				t.Errorf("%s: %+v %v", c.name, state, err)
			}
			for _, to := range []Target{ToProcess, ToGroup} {
				if err := p.Signal(c.name, to); !errors.Is(err, os.ErrProcessDone) {
					t.Errorf("signal after the end: %v", err)
				}
			}
			if err := p.Signal(c.name, ToTree); err != nil {
				t.Errorf("signal to an empty tree: %v", err)
			}
		}
	})
}

func TestState(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		before := time.Now()
		_, state := runOutput(t, s, shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3"))
		if state.Code != 3 || state.Core {
			t.Errorf("state %+v", state)
		}
		if state.UserTime <= 0 || state.UserTime > time.Minute || state.SystemTime > time.Minute {
			t.Errorf("times %v and %v", state.UserTime, state.SystemTime)
		}
		if state.MaxRSS < 100<<10 || state.MaxRSS > 4<<30 {
			t.Errorf("max RSS %d bytes", state.MaxRSS)
		}
		if state.Started.Before(before) || state.Ended.Before(state.Started) || state.Ended.After(time.Now()) {
			t.Errorf("from %v to %v", state.Started, state.Ended)
		}
	})
}

func TestWaitFromMany(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := start(t, s, shell("read x; exit 7"))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if state, err := p.Wait(); err != nil || state.Code != 7 {
					t.Errorf("%+v %v", state, err)
				}
			})
		}
		wg.Wait()
		if p.Pid() <= 0 {
			t.Errorf("pid %d", p.Pid())
		}
	})
}

func TestSignalTargets(t *testing.T) {
	// The command counts its own signals and has a child in its group and one in
	// a session of its own.
	const script = `
		sleep %[1]s & setsid sleep %[2]s &
		trap 'echo usr1' USR1; trap 'echo term' TERM
		echo ready; exec 2>/dev/null; while :; do sleep 0.01; done`
	holdingModes(t, func(t *testing.T, s *Spawner) {
		inGroup, outside := token(), token()
		p := start(t, s, shell(fmt.Sprintf(script, inGroup, outside)))
		readLine(t, p.Stdout())
		eventually(t, "both children run", func() bool { return sleepers(inGroup) > 0 && sleepers(outside) > 0 })

		signalAndRead(t, p, "USR1", ToProcess, "usr1")
		if sleepers(inGroup) == 0 || sleepers(outside) == 0 {
			t.Error("a signal to the process hit its children")
		}
		signalAndRead(t, p, "TERM", ToGroup, "term")
		eventually(t, "the child in the group dies", func() bool { return sleepers(inGroup) == 0 })
		if sleepers(outside) == 0 {
			t.Error("a signal to the group hit another group")
		}
		signalAndRead(t, p, "TERM", ToTree, "term")
		eventually(t, "the child outside dies", func() bool { return sleepers(outside) == 0 })
		if err := p.Signal("NONESUCH", ToTree); !errors.Is(err, ErrUnknownSignal) {
			t.Errorf("unknown signal: %v", err)
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
}

func signalAndRead(t *testing.T, p *Process, name string, to Target, want string) {
	t.Helper()
	if err := p.Signal(name, to); err != nil {
		t.Fatal(err)
	}
	if got := readLine(t, p.Stdout()); got != want {
		t.Errorf("after %s the command says %q, want %q", name, got, want)
	}
}

// sleepers counts the live processes that are "sleep token", not about to become it.
func sleepers(token string) int {
	n := 0
	for _, pid := range alive(token) {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); string(b) == "sleep\x00"+token+"\x00" {
			n++
		}
	}
	return n
}

// After the command has ended, signals to its tree reach who is left.
func TestSignalTreeAfterExit(t *testing.T) {
	needProc(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		sleep := token()
		p := start(t, s, shell("sleep "+sleep+" & exit 0"))
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the child runs", func() bool { return sleepers(sleep) > 0 })
		if err := p.Signal("TERM", ToTree); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the child dies", func() bool { return len(alive(sleep)) == 0 })
	})
}
