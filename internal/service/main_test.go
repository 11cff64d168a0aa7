//go:build linux || darwin || freebsd

package service

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rexec/rex/session/execd"
)

// TestMain runs the tests, or, re-executed, the keeper of a program, and fails
// if goroutines or descriptors are left.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "session-keeper" {
		os.Exit(execd.KeeperMain())
	}
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close() // the runtime's poller keeps descriptors of its own once it is used
	}
	before := openDescriptors()
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left:", err)
		code = 1
	}
	if after := openDescriptors(); len(after) > len(before) {
		fmt.Fprintf(os.Stderr, "descriptors left: %q, at first %q\n", after, before)
		code = 1
	}
	os.Exit(code)
}

// openDescriptors lists what this process has open, but for the runtime's own.
func openDescriptors() (open []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}
