package knownhosts

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestAdd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", ".ssh", "known_hosts")
	key := newKey(t)
	for _, hash := range []bool{false, true} {
		if err := Add(file, "Web1.Example.ORG", 7390, key, hash); err != nil {
			t.Fatal(err)
		}
		if err := Add(file, "FE80::1%Eth0", 22, key, hash); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "[web1.example.org]:7390 " + key.String() + "\nfe80::1%eth0 " + key.String() + "\n"; !hash && string(text) != want {
			t.Errorf("%q, want %q", text, want)
		}
		if hash && (strings.Contains(string(text), "example") || strings.Count(string(text), "|1|") != 2) {
			t.Errorf("%q", text)
		}
		s, err := Load([]string{file})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []Query{{Host: "web1.example.ORG", Port: 7390}, {Host: "fe80::1%eth0", Port: 22}, {Alias: "Fe80::1%eth0"}} {
			q.Key = key
			if r := s.Check(q); r.Verdict != Trusted || r.Fallback {
				t.Errorf("hash %v, %+v: %+v", hash, q, r)
			}
		}
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		if fi, err := os.Stat(path); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", path, fi.Mode(), err)
		}
	}
}

func TestAddToCutLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("other ssh-ed25519 AAAA"), 0o644); err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	if err := Add(file, "h", 22, key, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if want := "other ssh-ed25519 AAAA\nh " + key.String() + "\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

func TestAddRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "known_hosts")
	_, cert, _ := certify(t, "h")
	key := newKey(t)
	for _, host := range []string{
		"", "a b", "a\tb", "a\nb", "a\x00", "a,b", "!a", "a*", "a?", "#a", "@a", "[a]", "]", "|1|a|b", `a"`, "a'", "a`", `a\b`,
		"\x7f", "\u0085", "a\u202eb", "a\u00a0b", "\xff", strings.Repeat("a", 256), "\x1b[2J",
	} {
		if err := Add(file, host, 7390, key, true); err == nil || strings.ContainsAny(err.Error(), "\x00\x1b\u202e\n") {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, port := range []int{-1, 0, 65536} {
		if err := Add(file, "h", port, key, false); err == nil {
			t.Errorf("port %d is added", port)
		}
	}
	if Add(file, "h", 22, cert, false) == nil || Add(file, "h", 22, nil, false) == nil {
		t.Error("no plain key, and no error")
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused name made a file")
	}
	for _, path := range []string{dir, filepath.Join(dir, "f", "known_hosts")} {
		if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Add(path, "h", 22, key, false); err == nil || !strings.HasPrefix(err.Error(), "known hosts: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestConcurrentAdds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	key := keys()["ssh-rsa"] // the longest line
	if err := os.WriteFile(file, []byte("# no newline"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var want []string
	for i := range 64 {
		host := "h" + strings.Repeat("x", i)
		want = append(want, host+" "+key.String())
		wg.Go(func() {
			if err := Add(file, host, 22, key, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Two that both find the newline missing leave an empty line.
	got := slices.DeleteFunc(strings.Split(string(text), "\n"), func(s string) bool { return s == "" || s[0] == '#' })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d:\n%s", len(got), len(want), text)
	}
}
