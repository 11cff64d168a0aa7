//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildPrograms builds rex and rexd once, as a user gets them.
var buildPrograms = sync.OnceValues(func() (string, error) { return build() })

// build builds both programs with further flags, and returns where they are.
func build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "rex-integration-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"rex", "rexd"} {
		args := append([]string{"build", "-o", filepath.Join(dir, name)}, flags...)
		cmd := exec.Command("go", append(args, "github.com/rexec/rex/cmd/"+name)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
}

// program returns the path of a built program.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := buildPrograms()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// rexCommand returns a command that runs rex; it is killed with the test.
func rexCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "rex"), args...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// result is how a program ended.
type result struct {
	stdout, stderr string
	code           int // as a shell would see it: 128+n for a signal
}

// rex runs rex to its end.
func rex(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return runProgram(t, rexCommand(t, args...), stdin)
}

// runProgram runs a program to its end.
func runProgram(t testing.TB, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	code := exitCode(t, cmd.Run())
	return result{stdout.String(), stderr.String(), code}
}

// exitCode is the status a shell would see.
func exitCode(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("program did not run: %v", err)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// daemon is a running rexd.
type daemon struct {
	cmd  *exec.Cmd
	addr string // unix:/path, or what it was told to listen on
	done chan struct{}
	mu   sync.Mutex
	log  []string
}

// startDaemon starts rexd on a Unix socket, with further flags.
func startDaemon(t testing.TB, flags ...string) *daemon {
	t.Helper()
	addr := "unix:" + filepath.Join(socketDir(t), "rexd.sock")
	return startDaemonAt(t, addr, "", flags...)
}

// startDaemonAt starts rexd on an address and waits until it listens.
func startDaemonAt(t testing.TB, addr, config string, flags ...string) *daemon {
	t.Helper()
	d := &daemon{addr: addr, done: make(chan struct{})}
	file := filepath.Join(t.TempDir(), "rexd.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t, exec.Command(program(t, "rexd"), append([]string{"--config", file, "--listen", addr}, flags...)...))
	return d
}

// start starts the command of a daemon and waits until it listens.
func (d *daemon) start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	d.cmd = cmd
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go d.readLog(bufio.NewScanner(stderr), listening)
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Logf("rexd:\n%s", strings.Join(d.lines(), "\n"))
		}
	})
	select {
	case <-listening:
	case <-d.done:
		t.Fatalf("rexd ended:\n%s", strings.Join(d.lines(), "\n"))
	case <-time.After(patience):
		t.Fatal("rexd does not listen")
	}
}

// readLog collects the log until the daemon's end.
func (d *daemon) readLog(lines *bufio.Scanner, listening chan<- struct{}) {
	defer close(d.done)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		d.mu.Lock()
		d.log = append(d.log, line)
		d.mu.Unlock()
		if listening != nil && strings.Contains(line, "listening") {
			close(listening)
			listening = nil
		}
	}
	_ = d.cmd.Wait()
}

func (d *daemon) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.log...)
}

// socketDir returns a directory that rexd trusts and whose path is short
// enough for a socket.
func socketDir(t testing.TB) string {
	t.Helper()
	base, err := os.UserHomeDir()
	if err != nil || base == "/" {
		base = t.TempDir()
	}
	dir, err := os.MkdirTemp(base, ".rex-it-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// overTransports runs a test over every way to reach a daemon.
func overTransports(t *testing.T, test func(t *testing.T, host string)) {
	t.Run("local", func(t *testing.T) { test(t, "local:") })
	t.Run("unix", func(t *testing.T) { test(t, startDaemon(t).addr) })
	t.Run("stdio", func(t *testing.T) {
		// What a ProxyCommand does: any program whose stdin and stdout are the
		// connection.
		test(t, "-oProxyCommand="+program(t, "rexd")+" --stdio\nproxied")
	})
	t.Run("tcp", func(t *testing.T) { test(t, startNetwork(t).host()) })
}

// to returns rex's arguments for a host of overTransports, which is options and
// a host, a line each, and the words.
func to(host string, words ...string) []string {
	return append(strings.Split(host, "\n"), words...)
}

// until polls a condition that other processes make true.
func until(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// alive returns the processes, but for zombies, whose command line has marker.
func alive(marker string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(marker)) {
			continue
		}
		pid := filepath.Base(filepath.Dir(file))
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && len(stat) > i+2 && stat[i+2] != 'Z' {
			pids = append(pids, pid)
		}
	}
	return pids
}

// needsProc skips where there is no Linux /proc.
func needsProc(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("needs /proc")
	}
}
