//go:build linux || darwin || freebsd

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

func TestServe(t *testing.T) {
	second := socketPath(t)
	r := start(t, "--listen", "unix:"+second)
	if got := r.waitLog("listening")["addr"]; got != "unix:"+r.path {
		t.Errorf("listening at %v", got)
	}
	c := r.dial()
	out, err := c.Command("printf", "%s", "hello").Output()
	if err != nil || string(out) != "hello" {
		t.Errorf("%q, %v", out, err)
	}
	err = c.Shell("exit 7").Run()
	if e, ok := errors.AsType[*session.ExitError](err); !ok || e.ExitCode() != 7 {
		t.Errorf("exit 7: %v", err)
	}
	other, err := session.Dial(t.Context(), "unix:"+second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Command("true").Run(); err != nil {
		t.Error(err)
	}
	other.Close()

	started, ended := r.waitLog("command started"), r.waitLog("command ended")
	if got := fmt.Sprint(started["argv"]); !strings.Contains(got, "hello") {
		t.Errorf("started: %v", started)
	}
	for _, record := range []map[string]any{started, ended} {
		if record["user"] != userName() || !strings.HasPrefix(fmt.Sprint(record["peer"]), fmt.Sprintf("uid=%d", os.Geteuid())) {
			t.Errorf("who: %v", record)
		}
	}

	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	r.waitLog("stopped")
	for _, path := range []string{r.path, second} {
		if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestServeDrains has a command that goes on through the first signal.
func TestServeDrains(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			r := start(t)
			cmd := r.dial().Command("cat")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r.signal(sig)
			r.waitLog("draining")
			waitGone(t, r.path)
			if _, err := session.Dial(t.Context(), "unix:"+r.path, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a new session: %v", err)
			}
			io.WriteString(stdin, "still here")
			stdin.Close()
			if err := cmd.Wait(); err != nil || out.String() != "still here" {
				t.Errorf("the command: %q, %v", out.String(), err)
			}
			if code := r.wait(); code != exitOK {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// waitGone waits until nothing is at path.
func waitGone(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	t.Fatal("it is still there")
}

// TestServeEndsCommands ends a command that does not want to: by a second
// signal, and by the time to drain.
func TestServeEndsCommands(t *testing.T) {
	for name, config := range map[string]string{"second signal": `drain = "1h"`, "time": `drain = "50ms"`} {
		t.Run(name, func(t *testing.T) {
			r := start(t, "--config", writeConfig(t, config))
			cmd := r.dial().Shell("echo up; exec sleep 1000")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			r.signal(syscall.SIGTERM)
			r.waitLog("draining")
			if name == "second signal" {
				r.signal(syscall.SIGTERM)
			}
			if code := r.wait(); code != exitOK {
				t.Errorf("exit %d", code)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the command succeeded")
			}
			if syscall.Kill(cmd.Pid(), 0) == nil && !zombie(cmd.Pid()) {
				t.Error("the command still runs")
			}
			if name == "time" {
				r.waitLog("the time to drain is over, what still ran was ended")
			}
		})
	}
}

// zombie reports whether pid only waits to be reaped.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

// A stubbornService does not shut down by itself.
type stubbornService struct {
	asked, cut chan struct{}
	release    chan struct{}
}

func newStubborn() *stubbornService {
	return &stubbornService{asked: make(chan struct{}), cut: make(chan struct{}), release: make(chan struct{})}
}

func (s *stubbornService) shutdown(ctx context.Context) error {
	close(s.asked)
	<-s.release
	return ctx.Err()
}

func (s *stubbornService) close() { close(s.cut) }

func TestDrainSignals(t *testing.T) {
	s := newStubborn()
	signals := make(chan os.Signal, 8)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- drain(ctx, cancel, s, signals, slog.New(slog.DiscardHandler)) }()
	<-s.asked
	signals <- syscall.SIGHUP
	signals <- syscall.SIGPIPE
	select {
	case <-s.cut:
		t.Error("cut by a signal that asks for nothing")
	default:
	}
	if ctx.Err() != nil {
		t.Error("hurried without being asked")
	}
	signals <- syscall.SIGTERM
	<-s.cut
	<-ctx.Done()
	signals <- syscall.SIGINT
	if err := <-result; err != errAbandoned || exitCode(err) != exitError {
		t.Errorf("after the third signal: %v", err)
	}
	close(s.release)
}

func TestServeTwice(t *testing.T) {
	r := start(t)
	got := runToEnd(t, command(t, "--listen", "unix:"+r.path))
	want := fmt.Sprintf("process %d listens there", r.cmd.Process.Pid)
	if got.code != exitError || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "rexd: hint: stop the other daemon") {
		t.Errorf("%+v, want %q", got, want)
	}
	if err := r.dial().Command("true").Run(); err != nil {
		t.Errorf("the first one is disturbed: %v", err)
	}
}

// TestServeOpensAllOrNone has a second address that is bad.
func TestServeOpensAllOrNone(t *testing.T) {
	good, bad := socketPath(t), socketPath(t)
	if err := os.WriteFile(bad, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := runToEnd(t, command(t, "--listen", "unix:"+good, "--listen", "unix:"+bad))
	if got.code != exitError || !strings.Contains(got.stderr, "rexd: error: socket "+bad) || !strings.Contains(got.stderr, "rexd: hint: ") {
		t.Errorf("%+v", got)
	}
	if left, _ := filepath.Glob(good + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReload(t *testing.T) {
	path := socketPath(t)
	listen := fmt.Sprintf("listen = [%q]\n", "unix:"+path)
	name := writeConfig(t, listen+"max_commands = 1\ntree = 'group'\n")
	r := startCommand(t, command(t, "--config", name), path)
	before := r.dial()
	hold(t, before)
	if !full(t, before) {
		t.Error("two commands at once with max_commands = 1")
	}

	rewrite := func(text, msg string) map[string]any {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.forget()
		r.signal(syscall.SIGHUP)
		return r.waitLog(msg)
	}
	const kept = "configuration not reloaded, the old one stays"
	if record := rewrite(listen+"max_comands = 2\n", kept); !strings.Contains(fmt.Sprint(record["err"]), "unknown key max_comands") {
		t.Errorf("record %v", record)
	}
	unchanged := r.dial()
	hold(t, unchanged)
	if !full(t, unchanged) {
		t.Error("a bad file changed something")
	}
	record := rewrite(listen+"max_commands = 2\nlog_level = 'debug'\ndrain = '5s'\ntree = 'auto'\n", "configuration reloaded")
	if record["max_commands"] != 2.0 || record["log_level"] != "DEBUG" || record["drain"] != "5s" {
		t.Errorf("record %v", record)
	}
	if record := r.waitLog("a changed key counts from the next start on only"); record["key"] != "tree" {
		t.Errorf("record %v", record)
	}
	after := r.dial()
	hold(t, after)
	if err := after.Command("true").Run(); err != nil {
		t.Errorf("the second command of a new session: %v", err)
	}
	r.waitLog("session started") // at level debug
	if !full(t, before) {
		t.Error("an old session got the new limit")
	}
	if record := rewrite(listen+"log_level = 'info'\nmax_commands = 2\n", "configuration reloaded"); record["log_level"] != "INFO" {
		t.Errorf("record %v", record)
	}
	r.stop() // ends the sessions of both servers
	if code := r.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// full reports whether no further command of c gets a place in a while.
func full(t *testing.T, c *session.Client) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cmd := c.CommandContext(ctx, "true")
	err := cmd.Start()
	if err == nil {
		cmd.Wait()
	}
	// The client waits in Start, or is refused if it has not read the limit yet.
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, proto.CodeBusy)
}

// hold runs a command that stays until the session ends, and waits until it
// runs.
func hold(t *testing.T, c *session.Client) {
	t.Helper()
	cmd := c.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
}

// TestSurroundings starts rexd in a bad state, and looks at what its commands
// get.
func TestSurroundings(t *testing.T) {
	path := socketPath(t)
	cmd := command(t, "--listen", "unix:"+path)
	exe, args := cmd.Path, cmd.Args[1:]
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", `umask 077; trap '' HUP PIPE; exec "$0" "$@" <&- >&-`, exe}, args...)
	cmd.ExtraFiles = slices.Repeat([]*os.File{os.Stderr}, 20)
	r := startCommand(t, cmd, path)
	r.signal(syscall.SIGPIPE)
	c := r.dial()
	out, err := c.Shell(`umask; kill -PIPE $$; echo survived`).Output()
	e, ok := errors.AsType[*session.ExitError](err)
	if !ok || strings.TrimSpace(string(out)) != "0022" {
		t.Errorf("%q, %v", out, err)
	} else if name, _ := e.Signal(); name != "PIPE" {
		t.Errorf("ended by %s", name)
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return
	}
	if out, err := c.Shell("ls /proc/$$/fd; true").Output(); err != nil || string(out) != "0\n1\n2\n" {
		t.Errorf("descriptors of a command: %q, %v", out, err)
	}
	for fd := range 2 {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", r.cmd.Process.Pid, fd))
		if err != nil || target != os.DevNull {
			t.Errorf("descriptor %d is %s, %v", fd, target, err)
		}
	}
}

// TestNoStandardError starts without any of the three.
func TestNoStandardError(t *testing.T) {
	path := socketPath(t)
	cmd := command(t, "--listen", "unix:"+path)
	cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@" <&- >&- 2>&-`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer waitFor(t, cmd)
	defer cmd.Process.Signal(syscall.SIGTERM)
	c := dialWhenReady(t, path)
	if out, err := c.Command("echo", "ok").CombinedOutput(); err != nil || string(out) != "ok\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestTrees runs a command in each way to hold its processes.
func TestTrees(t *testing.T) {
	for _, tree := range []string{"cgroup", "keeper", "group"} {
		t.Run(tree, func(t *testing.T) {
			config := writeConfig(t, fmt.Sprintf("tree = %q\n", tree))
			path := socketPath(t)
			if got := runToEnd(t, command(t, "--check", "--config", config, "--listen", "unix:"+path)); got.code != exitOK {
				t.Skipf("not here: %s", got.stderr)
			}
			r := start(t, "--config", config)
			if out, err := r.dial().Command("echo", "ok").Output(); err != nil || string(out) != "ok\n" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

func TestUsageOnRequest(t *testing.T) {
	r := start(t)
	r.signal(syscall.SIGUSR1)
	record := r.waitLog("usage")
	for _, key := range []string{"heap_inuse", "goroutines"} {
		if n, ok := record[key].(float64); !ok || n < 1 {
			t.Errorf("%s is %v", key, record[key])
		}
	}
	hold(t, r.dial())
	r.signal(syscall.SIGTERM)
	r.waitLog("draining")
	r.forget()
	r.signal(syscall.SIGUSR1)
	r.waitLog("usage") // and it does not hurry
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestNothingLeft counts what rexd has open before and after sessions of
// every kind.
func TestNothingLeft(t *testing.T) {
	r := start(t)
	dir := fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid)
	if _, err := os.ReadDir(dir); err != nil {
		t.Skip(err)
	}
	use := func() {
		c := r.dial()
		if err := c.Command("true").Run(); err != nil {
			t.Error(err)
		}
		hold(t, c)
		c.Close()
		raw, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(raw, "no login")
		raw.Close()
	}
	use() // what is opened once
	before := settled(t, dir, 1<<20)
	for range 10 {
		use()
	}
	if after := settled(t, dir, before); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// settled is the number of entries in dir when it is at most limit and does
// not change for a while, or at last.
func settled(t *testing.T, dir string, limit int) int {
	t.Helper()
	last, same := 0, 0
	for end := time.Now().Add(patience); time.Now().Before(end) && (same < 20 || last > limit); time.Sleep(5 * time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if same++; len(entries) != last {
			last, same = len(entries), 0
		}
	}
	return last
}

// TestBrokenLog takes the reader of the log away.
func TestBrokenLog(t *testing.T) {
	path := socketPath(t)
	cmd := command(t, "--listen", "unix:"+path)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := dialWhenReady(t, path).Command("true").Run(); err != nil {
		t.Error(err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	waitFor(t, cmd)
	if code := cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// dialWhenReady dials until there is a socket.
func dialWhenReady(t *testing.T, path string) *session.Client {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c, err := session.Dial(t.Context(), "unix:"+path, nil)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
