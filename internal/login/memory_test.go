package login

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/auth"
)

// twoSigners are a key and another one.
func twoSigners(t *testing.T) []auth.Signer {
	t.Helper()
	var signers []auth.Signer
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(t.TempDir(), name)
		if _, err := auth.CreateHostKey(path); err != nil {
			t.Fatal(err)
		}
		s, err := auth.OpenIdentity(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	return signers
}

func TestMemory(t *testing.T) {
	signers := twoSigners(t)
	c := &Config{Host: "Web1", Port: 7390, User: "alice", CacheDir: filepath.Join(t.TempDir(), "deep", "rex")}
	m := openMemory(c)
	if m.recall(c, signers) != nil || m.remember(c, nil) != nil {
		t.Error("there is nothing to recall or forget")
	}
	if err := m.remember(c, signers[1].Key()); err != nil {
		t.Fatal(err)
	}
	if got := m.recall(c, signers); got != signers[1] {
		t.Errorf("recalled %v", got)
	}
	for _, other := range []Config{
		{Host: "web2", Port: 7390, User: "alice"},
		{Host: "web1", Port: 7391, User: "alice"},
		{Host: "web1", Port: 7390, User: "bob"},
		{Host: "eb1", Port: 7390, User: "alice"},
		{Host: "web1", Port: 739, User: "alice"},
	} {
		if got := m.recall(&other, signers); got != nil {
			t.Errorf("%+v: recalled %v", other, got)
		}
	}
	if got := m.recall(c, signers[:1]); got != nil {
		t.Errorf("recalled %v, which is not there", got)
	}
	info, err := os.Stat(m.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if dir, err := os.Stat(c.CacheDir); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", dir, err)
	}
	if err := m.remember(c, signers[1].Key()); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(m.file); err != nil || !os.SameFile(info, again) {
		t.Error("written again without need")
	}
	if m.remember(c, signers[0].Key()) != nil || m.recall(c, signers) != signers[0] {
		t.Error("not replaced")
	}
	if m.remember(c, nil) != nil || m.recall(c, signers) != nil {
		t.Error("not forgotten")
	}
	if left, _ := filepath.Glob(c.CacheDir + "/.keys*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The file is bounded, and the oldest go.
func TestMemoryIsBounded(t *testing.T) {
	key := twoSigners(t)[0].Key()
	c := &Config{Port: 1, User: "u", CacheDir: t.TempDir()}
	m := openMemory(c)
	var lines []string
	for i := range maxMemories + 10 {
		c.Host = fmt.Sprintf("h%d", i)
		lines = append(lines, c.place()+mark(key))
	}
	if err := m.write(lines); err != nil {
		t.Fatal(err)
	}
	c.Host = "last"
	if err := m.remember(c, key); err != nil {
		t.Fatal(err)
	}
	got, err := m.read()
	if err != nil || len(got) != maxMemories || !strings.HasPrefix(got[maxMemories-1], "[last]:1 u ") || !strings.HasPrefix(got[0], "[h11]:1 ") {
		t.Errorf("%d lines, %v: %q ... %q", len(got), err, got[0], got[len(got)-1])
	}
}

// A file that is no good is as none, and never an error of a login.
func TestMemoryIsOnlyAGuess(t *testing.T) {
	signers := twoSigners(t)
	c := &Config{Host: "h", Port: 1, User: "u", CacheDir: t.TempDir()}
	m := openMemory(c)
	for _, content := range []string{"", "\n", "\x00\xff", "[h]:1 u", "[h]:1 u ssh-ed25519 SHA256:nothing\n", "[h]:1 u " + mark(signers[0].Key())} {
		os.WriteFile(m.file, []byte(content), 0o600)
		if got := m.recall(c, signers); got != nil {
			t.Errorf("%q: recalled %v", content, got)
		}
		if err := m.remember(c, signers[0].Key()); err != nil || m.recall(c, signers) != signers[0] {
			t.Errorf("%q: %v", content, err)
		}
	}
	os.Remove(m.file)
	os.Mkdir(m.file, 0o700)
	if m.recall(c, signers) != nil || m.remember(c, signers[0].Key()) == nil {
		t.Error("a directory is no memory")
	}
	none := memory{}
	if none.recall(c, signers) != nil || none.remember(c, signers[0].Key()) == nil {
		t.Error("there is no memory")
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte("[h]:1 u ssh-ed25519 SHA256:x\n"))
	f.Add([]byte("a b c d\n\n\x00 \n a b c d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := parseMemory(data)
		if len(lines) > maxMemories {
			t.Fatalf("%d lines", len(lines))
		}
		text := strings.Join(lines, "\n") + "\n"
		if again := parseMemory([]byte(text)); len(lines) > 0 && strings.Join(again, "\n")+"\n" != text {
			t.Fatalf("%q became %q", lines, again)
		}
	})
}
