//go:build unix

package session_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rexec/rex/session/execd"
)

// TestMain runs the tests, or, re-executed, the keeper of a command or a server, and fails
// if goroutines, descriptors or children are left.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "session-keeper" {
		exit(execd.KeeperMain())
	}
	if len(os.Args) == 5 && os.Args[1] == "session-server" {
		exit(serveProcess(os.Args[2:]))
	}
	os.Exit(checkLeaks(m))
}

func checkLeaks(m *testing.M) int {
	// The runtime's poller keeps descriptors of its own once it is used.
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	_, _ = r.Close(), w.Close()
	before := descriptors()
	code := m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		println("leaked goroutines:", err.Error())
		return 1
	}
	if after := descriptors(); after > before {
		println("leaked descriptors:", after-before)
		return 1
	}
	if left := children(); left != "" {
		println("leaked children:", left)
		return 1
	}
	return 0
}

// descriptors counts the open descriptors of this process, 0 where it cannot.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// children lists the processes that this one has not waited for, nothing where it cannot.
func children() string {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return ""
	}
	var all strings.Builder
	for _, thread := range threads {
		pids, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/children")
		if err == nil {
			all.Write(pids)
		}
	}
	return all.String()
}
