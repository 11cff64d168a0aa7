//go:build unix

package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also the keeper and the program that dies.
const (
	asKeeper = "act-as-keeper"
	asParent = "act-as-parent"

	asIntruder = "act-as-intruder" // on Linux
	asRoot     = "act-as-root"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asKeeper:
			os.Exit(KeeperMain())
		case asParent:
			os.Exit(parentMain(os.Args[2:]))
		case asIntruder:
			os.Exit(intruderMain())
		case asRoot:
			os.Exit(becomeRootMain(os.Args[2:]))
		}
	}
	before := openDescriptors()
	code := m.Run()
	if code == 0 {
		code = checkLeaks(before)
	}
	os.Exit(code)
}

// checkLeaks fails the run if a goroutine, a descriptor, a child or a cgroup is left.
func checkLeaks(before []string) int {
	var leaks []string
	if err := goleak.Find(); err != nil {
		leaks = append(leaks, err.Error())
	}
	after := openDescriptors()
	if len(after) > len(before)+1 { // the poller's own appear with first use
		leaks = append(leaks, fmt.Sprintf("descriptors: %d before, now %q", len(before), after))
	}
	leaks = append(leaks, leftovers()...)
	for _, leak := range leaks {
		fmt.Fprintln(os.Stderr, "leak:", leak)
	}
	return min(len(leaks), 1)
}

// openDescriptors lists what this process has open, but for the runtime's own.
func openDescriptors() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.Contains(target, "/fd") && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}

func testBinary() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// parentMain is a program that runs one command and copies its output until it
// ends. Arguments: mode, orphan policy, the command.
func parentMain(args []string) int {
	s, err := NewSpawner(Options{Mode: Mode(args[0]), Keeper: keeperArgv(), Grace: 200 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	p, err := s.Start(context.Background(), &Spec{
		Path: args[2], Args: args[2:], Env: os.Environ(), Stdout: true, MergeStderr: true, Keep: args[1] == "keep",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	_, _ = io.Copy(os.Stdout, p.Stdout())
	state, _ := p.Wait()
	_ = p.Release()
	_ = s.Close()
	return state.Code
}

// parent returns such a program, not yet started.
func parent(t *testing.T, mode Mode, policy string, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testBinary(), append([]string{asParent, string(mode), policy}, argv...)...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // see keeperArgv
	return cmd
}

// newSpawner returns a Spawner of that mode with a short grace, or skips.
func newSpawner(t testing.TB, opts Options) *Spawner {
	t.Helper()
	opts.Keeper = keeperArgv()
	if opts.Grace == 0 {
		opts.Grace = 300 * time.Millisecond
	}
	s, err := NewSpawner(opts)
	if err != nil {
		t.Skipf("mode %q is not usable here: %v", opts.Mode, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the spawner: %v", err)
		}
	})
	return s
}

// eachMode runs a test in every mode that is usable here.
func eachMode(t *testing.T, test func(t *testing.T, s *Spawner)) {
	holdingModes(t, test)
	t.Run(string(ModeGroup), func(t *testing.T) { test(t, newSpawner(t, Options{Mode: ModeGroup})) })
}

// holdingModes are those that no child escapes from.
func holdingModes(t *testing.T, test func(t *testing.T, s *Spawner)) {
	for _, mode := range []Mode{ModeCgroup, ModeKeeper} {
		t.Run(string(mode), func(t *testing.T) {
			if runtime.GOOS != "linux" {
				t.Skip("Linux only")
			}
			test(t, newSpawner(t, Options{Mode: mode}))
		})
	}
}

// start starts a command. At the end of the test nothing is left of it, unless
// the test has released it.
func start(t testing.TB, s *Spawner, spec *Spec) *Process {
	t.Helper()
	p, err := s.Start(context.Background(), spec)
	if err != nil {
		t.Fatalf("start %.80q: %v", spec.Args, err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_ = p.Release()
	})
	return p
}

// command is a Spec with our environment and all output in one pipe.
func command(argv ...string) *Spec {
	return &Spec{Path: argv[0], Args: argv, Env: os.Environ(), Stdout: true, MergeStderr: true}
}

func shell(script string) *Spec { return command("/bin/sh", "-c", script) }

// runOutput runs a command to its end.
func runOutput(t testing.TB, s *Spawner, spec *Spec) (string, State) {
	t.Helper()
	p := start(t, s, spec)
	b, err := io.ReadAll(p.Stdout())
	if err != nil {
		t.Fatalf("read the output of %.80q: %v", spec.Args, err)
	}
	state, err := p.Wait()
	if err != nil {
		t.Fatalf("wait for %.80q: %v", spec.Args, err)
	}
	if err := p.Release(); err != nil {
		t.Fatalf("release %.80q: %v", spec.Args, err)
	}
	return string(b), state
}

// readLine reads the output up to a newline.
func readLine(t testing.TB, r io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			t.Fatalf("read a line: %v after %q", err, line)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// eventually waits until a condition holds, for ten times as long as it should take.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

var lastToken atomic.Int64

// token returns a number of seconds that no other sleep on this machine has in
// its arguments, by which processes are found again.
func token() string {
	return strconv.Itoa(100_000_000 + os.Getpid()*1000 + int(lastToken.Add(1)))
}

// alive returns the processes, other than zombies, with that in their arguments.
func alive(token string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var pids []int
	for _, file := range files {
		b, _ := os.ReadFile(file)
		if bytes.Contains(b, []byte(token)) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			pids = append(pids, pid)
		}
	}
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
}

func needProc(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
}
