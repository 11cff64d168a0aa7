//go:build unix

package execd

import (
	"os"
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
`

func TestFindAccount(t *testing.T) {
	huge := strings.Repeat("x", 100<<10) + ":x:20:20::/huge:/bin/sh\n"
	for uid, want := range map[int]account{
		0: {"root", 0, "/root", "/bin/bash"},
		1: {"daemon", 1, "/usr/sbin", "/usr/sbin/nologin"},
		4: {"noshell", 4, "/home/noshell", "/bin/sh"},
		5: {"nohome", 5, "/", "/bin/sh"},
		6: {"twice", 6, "/first", "/bin/sh"},
	} {
		for name, file := range map[string]string{"": passwd, " behind a long line": huge + passwd, " without a last newline": strings.TrimSuffix(passwd, "\n")} {
			if got := findAccount(strings.NewReader(file), uid); got == nil || *got != want {
				t.Errorf("%d%s: %+v", uid, name, got)
			}
		}
	}
	for _, uid := range []int{2, 3, 7, 8, 9, -10, 10, 99} {
		if got := findAccount(strings.NewReader(passwd), uid); got != nil {
			t.Errorf("%d: %+v", uid, got)
		}
	}
	if got := findAccount(strings.NewReader(""), 0); got != nil {
		t.Errorf("nobody: %+v", got)
	}
}

func TestLookupAccount(t *testing.T) {
	a, err := lookupAccount(os.Getuid())
	if err != nil {
		t.Skip(err) // a container without accounts
	}
	if a.uid != os.Getuid() || a.name == "" || a.home == "" || a.shell == "" {
		t.Errorf("%+v", a)
	}
	if a, err := lookupAccount(1<<30 + 12345); err != errNoAccount {
		t.Errorf("%+v, %v", a, err)
	}
}

// Whatever is in the file: an account that is found has the right id, and all that is needed.
func FuzzFindAccount(f *testing.F) {
	f.Add(passwd, 0)
	f.Add("a:b:c:d:e:f:g", 0)
	f.Add("root:x:+0:0::/:/bin/sh\n", 0)
	f.Add("root:x:00:0::/:/bin/sh\r\n", 0)
	f.Add(strings.Repeat(":", 6)+"\n", 0)
	f.Fuzz(func(t *testing.T, file string, uid int) {
		a := findAccount(strings.NewReader(file), uid)
		if a == nil {
			return
		}
		if a.uid != uid || a.name == "" || a.home == "" || a.shell == "" || strings.ContainsAny(a.name+a.home+a.shell, ":\n") {
			t.Errorf("%+v", a)
		}
		if !strings.Contains(file, strconv.Itoa(uid)) {
			t.Errorf("%d is not in the file", uid)
		}
	})
}
