//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestHalfClose: the end of input reaches the command, and its answer comes.
func TestHalfClose(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		got := rex(t, "a\nb\n", to(host, "sort", "-r")...)
		if got != (result{stdout: "b\na\n"}) {
			t.Fatalf("%+v", got)
		}
	})
}

// TestBrokenPipe: when the local reader goes, the remote writer gets its broken
// pipe and goes too.
func TestBrokenPipe(t *testing.T) {
	needsProc(t)
	overTransports(t, func(t *testing.T, host string) {
		marker := fmt.Sprintf("rex-yes-%d-%d", os.Getpid(), time.Now().UnixNano())
		cmd := rexCommand(t, to(host, "yes", marker)...)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, len(marker)+1)
		if _, err := io.ReadFull(stdout, line); err != nil {
			t.Fatal(err)
		}
		closed := time.Now()
		_ = stdout.Close()
		if code := exitCode(t, cmd.Wait()); code != 141 {
			t.Errorf("exit status %d, want 141 (128+PIPE)", code)
		}
		t.Logf("ended %v after the reader", time.Since(closed))
		until(t, time.Second, "the remote yes is gone", func() bool { return len(alive(marker)) == 0 })
	})
}

// TestInputThatNobodyReads: a command that reads nothing ends at once, though
// its input never does.
func TestInputThatNobodyReads(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		zero, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer zero.Close()
		cmd := rexCommand(t, to(host, "true")...)
		cmd.Stdin = zero
		start := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		t.Logf("ended after %v", time.Since(start))
		// And one whose input just stays open.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		defer r.Close()
		cmd = rexCommand(t, to(host, "echo", "done")...)
		cmd.Stdin = r
		if out, err := cmd.Output(); err != nil || string(out) != "done\n" {
			t.Fatalf("%q, %v", out, err)
		}
	})
}

// TestEarlyEndOfInput: a command that closes its stdin goes on undisturbed.
func TestEarlyEndOfInput(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		zero, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer zero.Close()
		cmd := rexCommand(t, to(host, "exec <&-; sleep 0.3; seq 1 200000")...)
		cmd.Stdin = zero
		out, err := cmd.Output()
		if err != nil || !bytes.HasSuffix(out, []byte("\n200000\n")) || bytes.Count(out, []byte("\n")) != 200000 {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	})
}

// TestStdoutGoneStderrGoesOn: stopping one output does not disturb the other.
func TestStdoutGoneStderrGoesOn(t *testing.T) {
	overTransports(t, func(t *testing.T, host string) {
		cmd := rexCommand(t, to(host, "trap '' PIPE; yes | head -c 2000000 2>/dev/null; seq 1 100000 >&2; exit 3")...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = stdout.Close()
		code := exitCode(t, cmd.Wait())
		if code != 3 || !strings.HasSuffix(stderr.String(), "\n99999\n100000\n") {
			t.Fatalf("status %d, stderr ends %q", code, tail(stderr.String()))
		}
	})
}

func tail(s string) string { return s[max(0, len(s)-80):] }

// TestLongSilence: a command whose input ended is not cut after minutes. It
// takes seven, and runs when REX_SLOW is set.
func TestLongSilence(t *testing.T) {
	if os.Getenv("REX_SLOW") == "" {
		t.Skip("set REX_SLOW=1 for the test of seven minutes")
	}
	t.Parallel()
	start := time.Now()
	got := rex(t, "", "local:", "cat >/dev/null; sleep 400; echo done")
	if got != (result{stdout: "done\n"}) || time.Since(start) < 400*time.Second {
		t.Fatalf("%+v after %v", got, time.Since(start))
	}
}
