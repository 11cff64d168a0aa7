//go:build unix

package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRoot skips a test that needs root, and programs; CI has to run it.
func needRoot(t *testing.T, programs ...string) {
	t.Helper()
	missing := ""
	switch {
	case runtime.GOOS != "linux":
		t.Skip("needs Linux")
	case os.Getuid() != 0:
		missing = "root"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = p
		}
	}
	if missing == "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI has no %s", missing)
	}
	t.Skipf("needs %s", missing)
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// newUser makes an account of this machine for the time of the test.
func newUser(t *testing.T, options ...string) (name, home string) {
	t.Helper()
	needRoot(t, "useradd", "userdel")
	name = fmt.Sprintf("rexa%d", time.Now().UnixNano()%1_000_000_000)
	home = filepath.Join(openDir(t), name)
	run(t, append([]string{"useradd", "-m", "-d", home, "-s", "/bin/sh"}, append(options, name)...)...)
	t.Cleanup(func() { run(t, "userdel", name) })
	return name, home
}

// openDir makes a directory that everybody may enter, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// etc makes a source of such files and tools; a tool is a script of sh.
func etc(t *testing.T, files, tools map[string]string) source {
	t.Helper()
	s := source{etc: t.TempDir(), tools: []string{"/nonexistent", t.TempDir()}, timeout: 10 * time.Second}
	for name, text := range files {
		write(t, s.path(name), text, 0o644)
	}
	for name, text := range tools {
		write(t, s.tools[1]+"/"+name, "#!/bin/sh\n"+text, 0o755)
	}
	return s
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}
