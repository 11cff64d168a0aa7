package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// dies starts a program that runs the script under an orphan policy, waits
// until the script says ready and that many children sleep, and kills the program.
func dies(t *testing.T, mode Mode, policy, script, sleep string, children int) {
	t.Helper()
	t.Cleanup(func() { killPids(t, sleep) })
	cmd := parent(t, mode, policy, "/bin/sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line := readLine(t, out); line != "ready" {
		t.Fatalf("the command says %q", line)
	}
	eventually(t, "its children run", func() bool { return sleepers(sleep) >= children })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestParentKilledKeeper(t *testing.T) {
	newSpawner(t, Options{Mode: ModeKeeper})
	sleep := token()
	dies(t, ModeKeeper, "kill", `trap "" TERM HUP; `+wildTree(sleep), sleep, wildSleepers)
	eventually(t, "the keeper kills the tree", func() bool { return len(alive(sleep)) == 0 })

	kept := token()
	dies(t, ModeKeeper, "keep", "setsid sleep "+kept+" & sleep "+kept+" & echo ready; wait", kept, 2)
	eventually(t, "the keeper goes", func() bool { return !keeperOf(t, kept) })
	if n := sleepers(kept); n != 2 {
		t.Errorf("%d live on with the policy keep, want 2", n)
	}
}

// keeperOf tells whether a keeper is an ancestor of the processes.
func keeperOf(t *testing.T, token string) bool {
	t.Helper()
	for _, pid := range alive(token) {
		for stat, err := procfs.Read(pid); err == nil && stat.Parent > 1; stat, err = procfs.Read(stat.Parent) {
			if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", stat.Parent)); bytes.Contains(b, []byte(asKeeper)) {
				return true
			}
		}
	}
	return false
}

func TestParentKilledCgroup(t *testing.T) {
	newSpawner(t, Options{Mode: ModeCgroup})
	t.Cleanup(func() { newSpawner(t, Options{Mode: ModeCgroup}) }) // removes the empty leaf
	doomed, kept := token(), token()
	dies(t, ModeCgroup, "keep", "setsid sleep "+kept+" & sleep "+kept+" & echo ready; wait", kept, 2)
	dies(t, ModeCgroup, "kill", `trap "" TERM HUP; `+wildTree(doomed), doomed, wildSleepers)
	t.Logf("%d processes without a parent", len(alive(doomed))) // 0 if another test's spawner came first
	newSpawner(t, Options{Mode: ModeCgroup})
	wantDead(t, doomed)
	if n := sleepers(kept); n != 2 {
		t.Errorf("%d live on with the policy keep, want 2", n)
	}
}

// keeperPid returns the keeper of a running command.
func keeperPid(t *testing.T, p *Process) int {
	t.Helper()
	return p.run.(*kept).keeper.pid
}

func TestKeeperKilled(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeKeeper})
	sleep := token()
	p := start(t, s, shell("(sleep "+sleep+" &); sleep "+sleep+" & echo ready; wait"))
	readLine(t, p.Stdout())
	if err := syscall.Kill(keeperPid(t, p), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if state, err := p.Wait(); !errors.Is(err, ErrFateUnknown) || !strings.Contains(err.Error(), "KILL") {
		t.Errorf("%+v %v, want an unknown fate", state, err)
	}
	if err := p.Signal("TERM", ToProcess); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to the process: %v", err)
	}
	if len(alive(sleep)) == 0 {
		t.Error("the test is void: nothing was left")
	}
	// What the session shows is killed, and nothing more is claimed.
	if err := p.Kill(); !errors.Is(err, ErrFateUnknown) {
		t.Errorf("kill: %v", err)
	}
	wantDead(t, sleep)
}

func TestKeeperKilledThenEnded(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeKeeper})
	sleep := token()
	p := start(t, s, shell(`trap "" TERM HUP; sleep `+sleep+" & echo ready; wait"))
	readLine(t, p.Stdout())
	if err := syscall.Kill(keeperPid(t, p), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = p.Wait()
	if err := p.Signal("USR1", ToTree); !errors.Is(err, ErrFateUnknown) {
		t.Errorf("signal to the tree: %v", err)
	}
	if err := p.End(background); !errors.Is(err, ErrFateUnknown) {
		t.Errorf("end: %v", err)
	}
	wantDead(t, sleep)
}

// The keeper holds nothing of the command's, nor of its parent's, and stands
// in nobody's way.
func TestKeeperItself(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeKeeper})
	p := start(t, s, shell("echo ready; exec sleep 100"))
	readLine(t, p.Stdout())
	pid := keeperPid(t, p)
	dir := fmt.Sprintf("/proc/%d/", pid)
	if cwd, _ := os.Readlink(dir + "cwd"); cwd != "/" {
		t.Errorf("its directory is %q", cwd)
	}
	if env, _ := os.ReadFile(dir + "environ"); bytes.Contains(env, []byte("HOME=")) {
		t.Errorf("its environment is %q", env)
	}
	entries, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	sockets := 0
	for _, e := range entries {
		target, _ := os.Readlink(dir + "fd/" + e.Name())
		switch {
		case strings.HasPrefix(target, "socket:"):
			sockets++
		case strings.HasPrefix(target, "anon_inode:"), strings.HasPrefix(target, "/sys/fs/cgroup/"): // the runtime's
		case target != os.DevNull:
			t.Errorf("it has %s %s open", e.Name(), target)
		}
	}
	if sockets != 1 {
		t.Errorf("it has %d sockets", sockets)
	}
	stat, err := procfs.Read(pid)
	if err != nil || stat.Session != pid || stat.Group != pid {
		t.Errorf("it is no session leader: %+v %v", stat, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // this one cannot be caught, but Kill wakes it
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if state, err := p.Wait(); err != nil || state.SignalName != "KILL" {
		t.Errorf("%+v %v", state, err)
	}
}

// A keeper whose parent gives up before the command runs starts nothing, and
// one whose start nobody noticed kills it.
func TestKeeperUnconfirmed(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeKeeper})
	b := s.backend.(keeperBackend)
	std, err := openStdio(&Spec{})
	if err != nil {
		t.Fatal(err)
	}
	defer std.closeCommand()

	for _, part := range []int{0, 3, 20} {
		k, err := b.startKeeper(std)
		if err != nil {
			t.Fatal(err)
		}
		order, _ := b.order(command("sleep", "100"), std)
		_, _ = k.conn.Write(order[:part])
		_ = k.conn.Close()
		if state, err := k.keeper.wait(); err != nil || state.Code != 0 {
			t.Errorf("after %d bytes of an order the keeper ended with %+v %v", part, state, err)
		}
	}

	k, err := b.startKeeper(std)
	if err != nil {
		t.Fatal(err)
	}
	sleep := token()
	spec := command("sleep", sleep)
	spec.Keep = true
	order, _ := b.order(spec, std)
	_, _ = k.conn.Write(order)
	if _, err := readFrame(k.conn, maxReport); err != nil {
		t.Fatal(err)
	}
	if len(alive(sleep)) == 0 {
		t.Error("the test is void: nothing was started")
	}
	_ = k.conn.Close()
	_, _ = k.keeper.wait()
	wantDead(t, sleep)
}

func TestKeeperByHand(t *testing.T) {
	cmd := exec.Command(testBinary(), asKeeper)
	out, err := cmd.CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 2 || !strings.Contains(string(out), "not started as a keeper") {
		t.Errorf("%v: %s", err, out)
	}
}

// Programs that are no keeper do not hang a start.
func TestKeeperBogus(t *testing.T) {
	for _, argv := range [][]string{{"/bin/true"}, {"/bin/sh", "-c", "echo garbage >&3"}, {"/no/such/program"}} {
		s, err := NewSpawner(Options{Mode: ModeKeeper, Keeper: argv})
		if err != nil {
			continue
		}
		p, err := s.Start(t.Context(), command("true"))
		if e, ok := errors.AsType[*StartError](err); p != nil || !ok || e.Code != CodeStartFailed {
			t.Errorf("%q: %v", argv, err)
		}
		_ = s.Close()
	}
}

// A start that hangs in the keeper is given up, and killed if it succeeds late.
func TestKeeperStartTimeout(t *testing.T) {
	sleep, mark := token(), token()
	argv := append([]string{"/bin/sh", "-c", `sleep 0.6; exec "$@"`, "sh"}, keeperArgv()...)
	s, err := NewSpawner(Options{Mode: ModeKeeper, StartTimeout: 200 * time.Millisecond, Keeper: append(argv, mark)})
	if err != nil {
		t.Fatal(err)
	}
	spec := command("sleep", sleep)
	spec.Keep = true
	wantStartError(t, s, spec, CodeStartTimeout, nil, "hangs")
	eventually(t, "the keeper ends", func() bool { return len(alive(mark)) == 0 })
	wantDead(t, sleep)
	_ = s.Close()
}

// Without pidfds in the poller the waiting thread does the same.
func TestReapWithoutPidfd(t *testing.T) {
	l, err := newLaunch(command("/bin/sh", "-c", "exit 5"), []uintptr{0, 1, 2}, false)
	if err != nil {
		t.Fatal(err)
	}
	c, pidfd, err := l.start()
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(pidfd)
	go c.watch(-1)
	if state, err := c.wait(); err != nil || state.Code != 5 {
		t.Errorf("%+v %v", state, err)
	}
}

// When something else in the program reaps our child, the fate is unknown, not
// made up.
func TestReapedBySomebodyElse(t *testing.T) {
	l, err := newLaunch(command("sleep", "100"), []uintptr{0, 1, 2}, false)
	if err != nil {
		t.Fatal(err)
	}
	c, pidfd, err := l.start()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.signal(false, syscall.SIGKILL)
	if _, err := syscall.Wait4(c.pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	go c.watch(pidfd)
	if _, err := c.wait(); !errors.Is(err, ErrFateUnknown) {
		t.Errorf("error %v", err)
	}
}

// A command that ends while a background child holds its output: the end is
// known at once, and the output ends with the last holder.
func TestExitBeforeOutputEnds(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := start(t, s, shell("{ read x </dev/null; sleep 0.3; echo late; } & exit 4"))
		if state, err := p.Wait(); err != nil || state.Code != 4 {
			t.Errorf("%+v %v", state, err)
		}
		if b, err := io.ReadAll(p.Stdout()); err != nil || string(b) != "late\n" {
			t.Errorf("%q %v", b, err)
		}
	})
}
