//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkFileAt opens a file and checks it.
func checkFileAt(t *testing.T, path string) error {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return CheckFile(f)
}

func checkExposed(t *testing.T, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*ExposedError](err)
	if want == "" && err != nil || want != "" && (!ok || !strings.Contains(e.Error(), want) || !strings.Contains(e.Reason, e.Path) || e.Writable != strings.Contains(want, "write")) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestCheckFilePlaces has a file in the places of sockets. It may be in a
// sticky directory itself.
func TestCheckFilePlaces(t *testing.T) {
	for _, p := range places() {
		t.Run(p.name, func(t *testing.T) {
			if p.root {
				needRoot(t)
			}
			path := p.make(t, socketDir(t))
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			want := p.bad
			if p.name == "sticky" || p.name == "sticky group" {
				want = ""
			}
			checkExposed(t, checkFileAt(t, path), want)
		})
	}
}

func TestCheckFileModes(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{
		0o644: "", 0o400: "", 0o666: "everybody may write " + path + " (mode 666)", 0o664: "its group may write " + path + " (mode 664)", 0o602: "everybody may write",
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		checkExposed(t, checkFileAt(t, path), want)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	checkExposed(t, checkFileAt(t, "../"+filepath.Base(dir)+"/file"), "")
	if err := checkFileAt(t, dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(other, nil, 0o600), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(f); err == nil {
		t.Error("the file is another one by now")
	}
}

// TestExposedMode says how wrong a mode is as chmod takes it.
func TestExposedMode(t *testing.T) {
	dir := mkdir(t, 0o777|os.ModeSticky, socketDir(t), "a")
	if err := CheckListenUnix(dir + "/s"); err == nil || !strings.HasSuffix(err.Error(), "everybody may write into "+dir+" (mode 1777)") {
		t.Error(err)
	}
	if err := CheckListenUnix(dir + "/b/s"); err == nil || !strings.HasPrefix(err.Error(), "socket "+dir+"/b/s: ") || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
