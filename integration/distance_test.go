//go:build linux

package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A distance is two network namespaces with a long way between them.
type distance struct {
	link      *exec.Cmd
	near, far string
}

var distances atomic.Int32

const farAddress = "10.91.0.2"

// startDistance makes two hosts that are a round trip apart.
func startDistance(t testing.TB, rtt time.Duration) *distance {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	needs(t, "ip")
	number := distances.Add(1)
	d := &distance{near: fmt.Sprintf("rexn%d-%d", os.Getpid(), number), far: fmt.Sprintf("rexf%d-%d", os.Getpid(), number)}
	bin := filepath.Join(t.TempDir(), "longlink")
	mustRun(t, "go", "build", "-o", bin, "github.com/rexec/rex/integration/longlink")
	d.link = exec.Command(bin, "-rtt", rtt.String(), "-near", d.near, "-far", d.far)
	d.link.Stderr = os.Stderr
	stdin, err := d.link.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := d.link.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.link.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = d.link.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the link is not there: %q, %v", line, err)
	}
	return d
}

// in returns a command that runs in a namespace.
func (d *distance) in(ns string, name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", ns, name}, args...)...)
}

// startFarNetwork starts a rexd at the far end.
func startFarNetwork(t testing.TB, d *distance) *network {
	t.Helper()
	n := newNetwork(t)
	config := filepath.Join(t.TempDir(), "rexd.toml")
	if err := os.WriteFile(config, []byte(n.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--config", config, "--listen", farAddress + ":7390"}, n.flags()...)
	n.daemon = &daemon{done: make(chan struct{})}
	n.daemon.start(t, d.in(d.far, program(t, "rexd"), args...))
	n.at = farAddress + ":7390"
	n.knows(t, "host")
	return n
}

// TestDistance: the first byte of a new connection comes after three round
// trips, and a new command on a live one after one. The bound is ten times what
// is wanted; the figures are printed, and come from the benchmark.
func TestDistance(t *testing.T) {
	const rtt = 50 * time.Millisecond
	d := startDistance(t, rtt)
	n := startFarNetwork(t, d)
	var times []time.Duration
	for range 5 {
		cmd := d.in(d.near, program(t, "rex"), to(n.host(), "echo up")...)
		start := time.Now()
		out, err := cmd.Output()
		times = append(times, time.Since(start))
		if err != nil || string(out) != "up\n" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	slices.Sort(times)
	median := times[len(times)/2]
	t.Logf("connection, command and end: median %v, of which 3 round trips are %v", median, 3*rtt)
	if median < 3*rtt || median > 10*(3*rtt+15*time.Millisecond) {
		t.Errorf("median %v", median)
	}
	verbose := d.in(d.near, program(t, "rex"), to(n.host("-v"), "echo up")...)
	var errs strings.Builder
	verbose.Stderr = &errs
	if err := verbose.Run(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{
		"connected in", "encrypted in", "host key checked in", "signed in", "login sent in", "login accepted after",
	} {
		if !strings.Contains(errs.String(), step) {
			t.Errorf("rex -v says nothing of %s: %s", step, errs.String())
		}
	}
}
