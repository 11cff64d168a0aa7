//go:build unix

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/session"
)

// TestExitStatuses: all of them, verbatim.
func TestExitStatuses(t *testing.T) {
	d := startDaemon(t)
	var wg sync.WaitGroup
	gate := make(chan struct{}, 4)
	for want := range 256 {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			if got := rex(t, "", d.addr, fmt.Sprintf("exit %d", want)); got.code != want {
				t.Errorf("exit %d: status %d, stderr %q", want, got.code, got.stderr)
			}
		})
	}
	wg.Wait()
}

// TestKilledBySignal: 128+n, and the record says which.
func TestKilledBySignal(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		for name, number := range map[string]int{"HUP": 1, "INT": 2, "TERM": 15, "KILL": 9, "SEGV": 11} {
			file := filepath.Join(t.TempDir(), "status")
			got := rex(t, "", append([]string{"--status-file", file}, to(host, "kill -"+name+" $$")...)...)
			if got.code != 128+number {
				t.Errorf("%s: status %d, stderr %q", name, got.code, got.stderr)
			}
			var record struct {
				How    string
				Signal struct {
					Name   string
					Number int
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &record); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if record.How != "signaled" || record.Signal.Name != name || record.Signal.Number != number {
				t.Errorf("%s: record %s", name, text)
			}
		}
	})
}

// TestNotStarted: the statuses that shells use.
func TestNotStarted(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		plain := filepath.Join(t.TempDir(), "plain")
		if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			args []string
			code int
		}{
			{to(host, "no-such-command-here"), 127},
			{to(host, plain), 126},
		} {
			if got := rex(t, "", c.args...); got.code != c.code {
				t.Errorf("%q: %+v, want status %d", c.args, got, c.code)
			}
		}
		for program, code := range map[string]int{"no-such-command-here": 127, plain: 126, "/": 126} {
			if got := rex(t, "", append([]string{"exec"}, to(host, program)...)...); got.code != code || !strings.HasPrefix(got.stderr, "rex: error: ") {
				t.Errorf("exec %q: %+v, want status %d", program, got, code)
			}
		}
	})
}

// TestDaemonKilled: a daemon that dies is 255 with the reason, never 0. The next
// one, or a keeper, ends what was left.
func TestDaemonKilled(t *testing.T) {
	needsProc(t)
	t.Run("unix", func(t *testing.T) {
		d := startDaemon(t)
		killDaemon(t, d.addr, func(int) int { return d.cmd.Process.Pid })
	})
	t.Run("local", func(t *testing.T) {
		killDaemon(t, "local:", func(rex int) int { return childOf(t, rex) })
	})
	t.Run("stdio", func(t *testing.T) {
		killDaemon(t, "-oProxyCommand="+program(t, "rexd")+" --stdio\nproxied", func(rex int) int { return childOf(t, rex) })
	})
}

// killDaemon kills a daemon while it runs a command. daemon tells its process
// by that of rex.
func killDaemon(t *testing.T, host string, daemon func(rex int) int) {
	t.Helper()
	marker := fmt.Sprintf("86402.%d", time.Now().UnixNano())
	cmd := rexCommand(t, append([]string{"-v"}, to(host, "exec sleep "+marker)...)...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stderr := bufio.NewReader(pipe)
	for line := ""; !strings.HasSuffix(line, " started\n"); { // rex knows, which the command's own output does not tell
		if line, err = stderr.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(daemon(cmd.Process.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^rex: error: connection lost.*the command was running, its end is unknown$`)
	if code := exitCode(t, cmd.Wait()); code != 255 || !want.Match(said) {
		t.Errorf("status %d, stderr %q", code, said)
	}
	if next := rex(t, "", "local:", "true"); next.code != 0 {
		t.Errorf("the next command: %+v", next)
	}
	until(t, patience, "nothing is left", func() bool { return len(alive(marker)) == 0 })
}

// childOf is the only child of a process.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	var found []int
	for _, child := range childrenOf(parent) {
		found = append(found, child.pid)
	}
	if len(found) != 1 {
		t.Fatalf("process %d has the children %v", parent, found)
	}
	return found[0]
}

// TestExactArguments: what is sent is what the command gets.
func TestExactArguments(t *testing.T) {
	high := make([]byte, 0, 128)
	for b := 0x80; b <= 0xff; b++ {
		high = append(high, byte(b))
	}
	many := make([]string, 1900)
	for i := range many {
		many[i] = strings.Repeat("x", 990) // 1.9 MB in all
	}
	overTransports(t, func(t *testing.T, host string) {
		for _, args := range [][]string{
			{""}, {"a\nb", `'"\$*`, " ", ""}, {string(high)}, {strings.Repeat("y", 131071)}, many,
		} {
			got := rex(t, "", append(append([]string{"exec"}, to(host, "printf", "%s\\0")...), args...)...)
			if want := strings.Join(args, "\x00") + "\x00"; got.stdout != want || got.code != 0 {
				t.Errorf("%d arguments: status %d, %d bytes, want %d; stderr %q", len(args), got.code, len(got.stdout), len(want), got.stderr)
			}
		}
	})
}

// TestManyArguments: 100,000 of them, by the library.
func TestManyArguments(t *testing.T) {
	d := startDaemon(t)
	client, err := session.Dial(t.Context(), d.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	args := make([]string, 100000)
	for i := range args {
		args[i] = fmt.Sprint(i)
	}
	out, err := client.Command("printf", append([]string{`%s\0`}, args...)...).Output()
	if err != nil || string(out) != strings.Join(args, "\x00")+"\x00" {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
}

// TestTimeout: rexd ends the tree and rex says 124.
func TestTimeout(t *testing.T) {
	needsProc(t)
	overTransports(t, func(t *testing.T, host string) {
		marker := fmt.Sprintf("86400.%d", time.Now().UnixNano())
		got := rex(t, "", append([]string{"--timeout", "0.3s"}, to(host, "sleep "+marker+" & sleep "+marker)...)...)
		if got.code != 124 {
			t.Errorf("%+v", got)
		}
		until(t, 10*time.Second, "nothing is left", func() bool { return len(alive(marker)) == 0 })
	})
}
