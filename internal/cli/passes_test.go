//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
)

// TestPasses: only what every program can have is handed on.
func TestPasses(t *testing.T) {
	open := func(f *os.File, err error) *os.File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	file := open(os.Create(filepath.Join(t.TempDir(), "file")))
	null := open(os.OpenFile(os.DevNull, os.O_RDWR, 0))
	dir := open(os.Open(t.TempDir()))
	zero := open(os.Open("/dev/zero"))
	blocking, nonblocking, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	open(blocking, nil)
	open(nonblocking, nil)
	_ = blocking.Fd() // sets that mode
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	open(master, nil)
	open(slave, nil)
	for _, c := range []struct {
		name  string
		args  []string
		stdio [3]*os.File
		want  bool
	}{
		{"files", nil, [3]*os.File{file, file, file}, true},
		{"null and a pipe", nil, [3]*os.File{null, blocking, null}, true},
		{"a directory", nil, [3]*os.File{dir, file, file}, false},
		{"a directory that is not read", []string{"-n"}, [3]*os.File{dir, file, file}, true},
		{"a device", nil, [3]*os.File{zero, file, file}, false},
		{"a terminal for errors", nil, [3]*os.File{file, file, slave}, false},
		{"a terminal for output", nil, [3]*os.File{file, slave, file}, false},
		{"a pipe that does not block", nil, [3]*os.File{file, nonblocking, file}, false},
		{"a terminal there", []string{"-tt"}, [3]*os.File{file, file, file}, false},
		{"a kept command", []string{"--orphan", "keep"}, [3]*os.File{file, file, file}, false},
		{"a service", []string{"-s"}, [3]*os.File{file, file, file}, false},
	} {
		inv, err := parseArgs(append(c.args, "unix:/s", "true"), false)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		r := &runner{inv: inv, env: Env{Stdin: c.stdio[0], Stdout: c.stdio[1], Stderr: c.stdio[2]}}
		if got := r.passes(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
