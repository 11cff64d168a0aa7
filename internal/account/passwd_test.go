//go:build unix

package account

import (
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const passwd = `# comment
#root:x:0:0:commented out:/wrong:/wrong
root:x:0:0:root:/root:/bin/bash

daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
+nis:x:7:7::/wrong:/wrong
-nis:x:7:7::/wrong:/wrong
+::::::
short:x:2:2
long:x:3:3:a:b:/c:/d
noshell:x:4:4::/home/noshell:
nohome:x:5:5:::/bin/sh
twice:x:6:6::/first:/bin/sh
again:x:6:6::/second:/bin/sh
:x:8:8::/noname:/bin/sh
word:x:nine:9::/word:/bin/sh
minus:x:-10:10::/minus:/bin/sh
nogroup:x:11:::/nogroup:/bin/sh
asitis:x:4294967295:12::/asitis:/bin/sh
group:x:13:4294967295::/group:/bin/sh
`

func byUID(uid int) func(*Account) bool { return func(a *Account) bool { return a.UID == uid } }

func TestFindAccount(t *testing.T) {
	huge := strings.Repeat("x", 100<<10) + ":x:20:20::/huge:/bin/sh\n"
	for uid, want := range map[int]Account{
		0: {Name: "root", Home: "/root", Shell: "/bin/bash"},
		1: {Name: "daemon", UID: 1, GID: 1, Home: "/usr/sbin", Shell: "/usr/sbin/nologin"},
		4: {Name: "noshell", UID: 4, GID: 4, Home: "/home/noshell", Shell: "/bin/sh"},
		5: {Name: "nohome", UID: 5, GID: 5, Home: "/", Shell: "/bin/sh"},
		6: {Name: "twice", UID: 6, GID: 6, Home: "/first", Shell: "/bin/sh"},
	} {
		for name, file := range map[string]string{"": passwd, " behind a long line": huge + passwd, " without a last newline": strings.TrimSuffix(passwd, "\n")} {
			if got, err := findAccount(strings.NewReader(file), byUID(uid)); err != nil || got == nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("%d%s: %+v, %v", uid, name, got, err)
			}
		}
	}
	highest := uint32(math.MaxUint32)
	for _, uid := range []int{2, 3, 7, 8, 9, -10, 10, 11, 12, 13, 99, -1, int(highest)} {
		if got, err := findAccount(strings.NewReader(passwd), byUID(uid)); err != nil || got != nil {
			t.Errorf("%d: %+v, %v", uid, got, err)
		}
	}
	if got, err := findAccount(strings.NewReader(""), byUID(0)); err != nil || got != nil {
		t.Errorf("nobody: %+v, %v", got, err)
	}
	if _, err := findAccount(io.MultiReader(strings.NewReader("a:"), errReader{}), byUID(0)); err != io.ErrNoProgress {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

const group = `# comment
root:x:0:
sudo:x:27:al,bo
+nis:x:7:al
own:x:1000:
twice:x:27:al
long:x:30:al:more
word:x:no:al
asitis:x:4294967295:al
sub:x:40:alfred,xal,al x
last:x:50:bo,al`

func TestFindGroups(t *testing.T) {
	for user, want := range map[string][]int{"al": {1000, 27, 50}, "bo": {1000, 27, 50}, "jo": {1000}, "": {1000, 0}, "alfred": {1000, 40}} {
		if user == "" {
			continue // no account has this name
		}
		got, err := findGroups(strings.NewReader(group), user, 1000)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", user, got, err, want)
		}
	}
	if gid, ok := findGroup(strings.NewReader(group), "last"); !ok || gid != 50 {
		t.Errorf("last: %d, %v", gid, ok)
	}
	for _, name := range []string{"none", "+nis", "long", "word", "asitis", ""} {
		if gid, ok := findGroup(strings.NewReader(group), name); ok {
			t.Errorf("%s: %d", name, gid)
		}
	}
}

// Whatever is in the file: an account that is found has the right id, and all that is needed.
func FuzzFindAccount(f *testing.F) {
	f.Add(passwd, 0)
	f.Add("a:b:c:d:e:f:g", 0)
	f.Add("root:x:+0:0::/:/bin/sh\n", 0)
	f.Add("root:x:00:0::/:/bin/sh\r\n", 0)
	f.Add("root:x:0:4294967295::/:/bin/sh\n", 0)
	f.Add(strings.Repeat(":", 6)+"\n", 0)
	f.Fuzz(func(t *testing.T, file string, uid int) {
		a, err := findAccount(strings.NewReader(file), byUID(uid))
		if a == nil || err != nil {
			return
		}
		if a.UID != uid || a.Name == "" || a.Home == "" || a.Shell == "" || strings.ContainsAny(a.Name+a.Home+a.Shell, ":\n\x00") {
			t.Errorf("%+v", a)
		}
		if uint32(a.UID) == 1<<32-1 || uint32(a.GID) == 1<<32-1 {
			t.Errorf("%+v is nobody's id", a)
		}
		if !strings.Contains(file, strconv.Itoa(uid)) {
			t.Errorf("%d is not in the file", uid)
		}
	})
}

// Whatever is in the file: the primary group is first, and no group comes twice.
func FuzzFindGroups(f *testing.F) {
	f.Add(group, "al")
	f.Add("a:b:1:,\n", "")
	f.Fuzz(func(t *testing.T, file, user string) {
		got, err := findGroups(strings.NewReader(file), user, 1000)
		if err != nil || got[0] != 1000 {
			t.Fatalf("%v, %v", got, err)
		}
		if slices.Sort(got); len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("twice in %v", got)
		}
		for _, gid := range got {
			if uint32(gid) == 1<<32-1 {
				t.Errorf("%v has nobody's id", got)
			}
		}
	})
}

const shells = `# /etc/shells: valid login shells
/bin/sh
  /bin/bash  # the best
words /bin/words and more
#/bin/commented
/bin/a	/bin/b
none
/`

func TestFindShell(t *testing.T) {
	for shell, want := range map[string]bool{
		"/bin/sh": true, "/bin/bash": true, "/bin/words": true, "/bin/a": true, "/": true,
		"/bin/commented": false, "/bin/b": false, "none": false, "": false, "/bin": false, "/bin/shx": false, "bin/sh": false,
	} {
		if got, err := findShell(strings.NewReader(shells), shell); err != nil || got != want {
			t.Errorf("%q: %v, %v", shell, got, err)
		}
	}
}

func TestListedShell(t *testing.T) {
	dir := t.TempDir()
	for shell, want := range map[string]bool{"/bin/sh": true, "/bin/csh": true, "/bin/bash": false} {
		if got := listedIn(dir+"/none", shell); got != want {
			t.Errorf("%s without a list: %v", shell, got)
		}
	}
	if listedIn(dir, "/bin/sh") {
		t.Error("a list that cannot be read has a shell")
	}
	write(t, dir+"/empty", "", 0o644)
	if listedIn(dir+"/empty", "/bin/sh") {
		t.Error("an empty list has a shell")
	}
	for _, shell := range []string{"/bin/rbash", "/usr/bin/git-shell", "/usr/sbin/nologin", "/bin/false", "/no/such/shell", ""} {
		if UnrestrictedShell(shell) {
			t.Errorf("%q runs everything", shell)
		}
	}
	if ListedShell("/bin/sh") != UnrestrictedShell("/bin/sh") {
		t.Error("/bin/sh is taken for restricted")
	}
}

func FuzzFindShell(f *testing.F) {
	f.Add(shells, "/bin/sh")
	f.Add("/\v#", "/")
	f.Fuzz(func(t *testing.T, file, shell string) {
		found, err := findShell(strings.NewReader(file), shell)
		if err != nil || found && (!strings.HasPrefix(shell, "/") || !strings.Contains(file, shell) || strings.ContainsAny(shell, " \t\n#")) {
			t.Errorf("%q: %v, %v", shell, found, err)
		}
	})
}
