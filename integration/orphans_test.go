//go:build unix

package integration

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// markedTree is a shell line that starts a tree of sleepers which a shell's
// job control would lose: plain ones, one behind setsid, and ones behind setsid
// and a double fork, with and without their environment. It prints "up".
func markedTree(marker string) string {
	sleep := "sleep " + marker
	return strings.Join([]string{
		sleep + " &",
		"setsid " + sleep + " >/dev/null 2>&1 </dev/null &",
		"(setsid sh -c '(" + sleep + " &) >/dev/null 2>&1 </dev/null' &)",
		"(env -i /usr/bin/setsid /bin/sh -c '(trap \"\" HUP TERM; " + sleep + ") >/dev/null 2>&1 </dev/null &' &)",
		"sleep 0.3; echo up; wait",
	}, "\n")
}

// start starts rex and waits until it printed "up".
func startUp(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := rexCommand(t, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 3)
	if _, err := io.ReadFull(stdout, up); err != nil || string(up) != "up\n" {
		t.Fatalf("%q, %v", up, err)
	}
	return cmd
}

// TestKilledClientLeavesNothing: when rex dies, the command's whole tree dies.
func TestKilledClientLeavesNothing(t *testing.T) {
	needsProc(t)
	overTransports(t, func(t *testing.T, host string) {
		t.Parallel()
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			marker := fmt.Sprintf("86401.%d", time.Now().UnixNano())
			cmd := startUp(t, to(host, markedTree(marker))...)
			if len(alive("sleep\x00"+marker)) < 4 {
				t.Fatalf("the tree is not up: %v", alive(marker))
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			died := time.Now()
			_ = cmd.Wait()
			until(t, 15*time.Second, "nothing is left", func() bool { return len(alive(marker)) == 0 })
			t.Logf("%v: nothing left after %v", sig, time.Since(died).Round(10*time.Millisecond))
		}
	})
}

// TestKeptCommandLivesOn: with --orphan keep it goes on, and goes on printing,
// more than a pipe and a window hold.
func TestKeptCommandLivesOn(t *testing.T) {
	needsProc(t)
	d := startDaemon(t)
	file := filepath.Join(t.TempDir(), "ticks")
	line := fmt.Sprintf("echo up; i=0; while [ $i -lt 150 ]; do i=$((i+1)); seq 1 1000; echo $i >>%s; sleep 0.01; done; echo done >>%s", file, file)
	cmd := startUp(t, "--orphan", "keep", d.addr, line)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, 60*time.Second, "the command goes on to its end", func() bool {
		text, _ := os.ReadFile(file)
		return strings.HasSuffix(string(text), "done\n")
	})
	until(t, 10*time.Second, "its end is logged", func() bool {
		return strings.Contains(strings.Join(d.lines(), "\n"), "command ended")
	})
}

// TestTruncatedInputIsNoEnd: a command whose input was cut never takes the part
// for the whole.
func TestTruncatedInputIsNoEnd(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	overTransports(t, func(t *testing.T, host string) {
		for range rounds {
			dir := t.TempDir()
			f, g := filepath.Join(dir, "f"), filepath.Join(dir, "g")
			cmd := rexCommand(t, to(host, fmt.Sprintf("echo up; cat >%s && echo done >%s", f, g))...)
			zero, err := os.Open("/dev/zero")
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = io.LimitReader(zero, 1<<30)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(stdout, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // the random moment
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = zero.Close()
			until(t, 15*time.Second, "cat is gone", func() bool { return len(alive("cat >"+f)) == 0 })
			if _, err := os.Stat(g); err == nil {
				t.Fatal("the command took a part of its input for the whole")
			}
		}
	})
}
