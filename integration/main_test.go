//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long what a test has let go of may take to end: the ladder
// from HUP to KILL takes 5 s.
const patience = 20 * time.Second

// TestMain fails the package if it leaves anything behind: goroutines,
// descriptors, or processes, be they daemons, keepers or commands. Temporary
// files go with a directory of their own.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	temp, err := os.MkdirTemp("", "rex-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(temp)
	if err := os.Setenv("TMPDIR", temp); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) { // as under nohup: what is caught here is the default in programs
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	adoptOrphans()
	before := openDescriptors()
	code := m.Run()
	if code != 0 {
		return code
	}
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = append(children(), newDescriptors(before)...); len(left) == 0 {
			break
		}
		runtime.GC() // descriptors of files that nobody holds
	}
	if err := goleak.Find(); err != nil {
		left = append(left, err.Error())
	}
	for _, what := range left {
		fmt.Fprintln(os.Stderr, "left behind:", what)
		code = 1
	}
	return code
}

// children lists the processes below this one, zombies excepted. Because of
// adoptOrphans they are all that the tests have started, whatever their parents
// were.
func children() (list []string) {
	for _, child := range childrenOf(os.Getpid()) {
		if child.zombie {
			_, _ = syscall.Wait4(child.pid, nil, syscall.WNOHANG, nil) // adopted, or its test forgot it
			continue
		}
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child.pid))
		list = append(list, fmt.Sprintf("process %d: %q", child.pid, bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
	}
	return list
}

// child is what the system says of one.
type child struct {
	pid    int
	zombie bool
}

// childrenOf lists the children of a process, none where there is no /proc.
func childrenOf(parent int) (list []child) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		_, rest, ok := bytes.Cut(stat, []byte(") ")) // past the name, which may have blanks
		field := strings.Fields(string(rest))
		if err != nil || !ok || len(field) < 2 || field[1] != strconv.Itoa(parent) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		list = append(list, child{pid, field[0] == "Z"})
	}
	return list
}

// openDescriptors tells what each descriptor of this process is, as far as it is
// a test's: not the runtime's own.
func openDescriptors() map[string]string {
	links, _ := filepath.Glob("/proc/self/fd/*")
	open := make(map[string]string)
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			open[filepath.Base(link)] = target
		}
	}
	return open
}

func newDescriptors(before map[string]string) (list []string) {
	for fd, target := range openDescriptors() {
		if before[fd] != target {
			list = append(list, "descriptor "+fd+": "+target)
		}
	}
	return list
}
