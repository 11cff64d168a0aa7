//go:build unix

package account

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func wantReason(t *testing.T, name string, err error, want Reason) {
	t.Helper()
	var got Reason
	if e, ok := errors.AsType[*InadmissibleError](err); ok {
		got = e.Reason
	}
	if got != want || (err == nil) != (want == "") {
		t.Errorf("%s: %v (%q), want %q", name, err, got, want)
	}
}

// day is the number of the day in shadow(5) on which the tests take place.
const day = 20000

func TestPasswordEntry(t *testing.T) {
	today := time.Unix(day*86400+86399, 0) // its last second
	for line, want := range map[string]struct{ lax, strict Reason }{
		"al:*:19000:0:99999:7:::":       {},
		"al::19000:0:99999:7:::":        {},
		"al:!:19000:0:99999:7:::":       {"", ReasonLocked},
		"al:!$y$x:19000:0:99999:7:::":   {"", ReasonLocked},
		"al:!*:19000:0:99999:7:::":      {"", ReasonLocked},
		"al:*!:19000:0:99999:7:::":      {},
		"al:*:0:0:1:7:0::":              {}, // the age of a password nobody uses
		"al:*:19000:0:99999:7::20000:":  {}, // the last day
		"al:*:19000:0:99999:7::20001:":  {},
		"al:*:19000:0:99999:7::19999:":  {ReasonExpired, ReasonExpired},
		"al:!:19000:0:99999:7::19999:":  {ReasonExpired, ReasonExpired},
		"al:*:19000:0:99999:7::0:":      {ReasonExpired, ReasonExpired},
		"al:*:19000:0:99999:7::-1:":     {},
		"al:*:19000:0:99999:7::never:":  {ReasonUnknown, ReasonUnknown},
		"al:*:19000:0:99999:7::9e9:":    {ReasonUnknown, ReasonUnknown},
		"al:*:1:0:1:7::99999999999999:": {ReasonUnknown, ReasonUnknown},
		"bo:!:19000:0:99999:7::1:":      {}, // another's
		"+al:!:19000:0:99999:7::1:":     {},
		"al:!":                          {}, // no entry
		"":                              {},
	} {
		e := findPassword("x:*::::::1:\n"+line+"\n", "al", parseShadow)
		wantReason(t, line, e.check(today, Policy{}), want.lax)
		wantReason(t, line+" strictly", e.check(today, Policy{JudgeLocked: true}), want.strict)
	}
	for line, want := range map[string]Reason{
		"al:*:1:1::0:0:Al:/home/al:/bin/sh":                  "",
		"al:*:1:1::0:1728086400:Al:/home/al:/bin/sh":         "",
		"al:*:1:1::0:1728000000:Al:/home/al:/bin/sh":         ReasonExpired,
		"al:*LOCKED**:1:1::0:0:Al:/home/al:/bin/sh":          ReasonLocked,
		"al:*:1:1::0:soon:Al:/home/al:/bin/sh":               ReasonUnknown,
		"al:*LOCKED*:1:1:Al:/home/al:/bin/sh":                "",
		"bo:*LOCKED*:1:1::0:1728000000:Al:/home/al:/bin/zsh": "",
	} {
		wantReason(t, line, findPassword(line, "al", parseMaster).check(today, Policy{JudgeLocked: true}), want)
	}
}

func TestPasswordSources(t *testing.T) {
	tools := map[string]string{"getent": getent}
	for name, c := range map[string]struct {
		src    source
		user   string
		locked bool
		found  bool
	}{
		"no file":     {etc(t, nil, nil), "al", false, false},
		"file":        {etc(t, map[string]string{"shadow": "al:!:::::::\n"}, nil), "al", true, true},
		"master":      {etc(t, map[string]string{"master.passwd": "al:*LOCKED*:1:1::0:0:::\n"}, nil), "al", true, true},
		"files only":  {etc(t, map[string]string{"shadow": ""}, tools), "eve", false, false},
		"services":    {etc(t, map[string]string{"nsswitch.conf": "shadow: files sss"}, tools), "eve", true, true},
		"without":     {etc(t, map[string]string{"nsswitch.conf": "shadow: files sss"}, nil), "eve", false, false},
		"not in them": {etc(t, map[string]string{"nsswitch.conf": "shadow: files sss"}, tools), "bo", false, false},
	} {
		e, err := c.src.password(t.Context(), c.user)
		if err != nil || (e != nil) != c.found || e != nil && e.locked != c.locked {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	s := etc(t, map[string]string{"nsswitch.conf": "shadow: sss"}, map[string]string{"getent": "exit 1"})
	if e, err := s.password(t.Context(), "al"); err == nil {
		t.Errorf("a source that fails: %+v", e)
	}
	if err := os.Mkdir(s.path("shadow"), 0o700); err != nil {
		t.Fatal(err)
	}
	if e, err := s.password(t.Context(), "al"); err == nil {
		t.Errorf("a file that cannot be read: %+v", e)
	}
}

func TestCheckShell(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/sh", "", 0o755)
	write(t, dir+"/file", "", 0o644)
	for shell, want := range map[string]Reason{dir + "/sh": "", dir + "/file": ReasonNoShell, dir: ReasonNoShell, dir + "/none": ReasonNoShell, "/dev/null": ReasonNoShell, "": ReasonNoShell} {
		wantReason(t, shell, checkShell(shell), want)
	}
}

func TestNologin(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/nologin", "back soon\n", 0o600)
	write(t, dir+"/file", "", 0o600)
	if err := os.Symlink("nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]Reason{"/nologin": ReasonNologin, "/link": ReasonNologin, "/none": "", "/file/nologin": ReasonUnknown} {
		wantReason(t, file, (&Account{UID: 1000}).checkNologin(dir+"/none", dir+file), want)
		wantReason(t, file+" root", (&Account{UID: 0}).checkNologin(dir+"/none", dir+file), "")
	}
}

// Real accounts, by the programs that administer them.
func TestAdmissible(t *testing.T) {
	name, _ := newUser(t)
	check := func(want, strict Reason) {
		t.Helper()
		a, err := Lookup(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, name, a.Admissible(t.Context(), time.Now(), Policy{}), want)
		wantReason(t, name+" strictly", a.Admissible(t.Context(), time.Now(), Policy{JudgeLocked: true}), strict)
	}
	check("", ReasonLocked) // as useradd leaves it
	run(t, "usermod", "-p", "*", name)
	check("", "")
	run(t, "usermod", "-e", "2020-01-01", name)
	check(ReasonExpired, ReasonExpired)
	run(t, "usermod", "-e", "", "-s", "/bin/no-such-shell", name)
	check(ReasonNoShell, ReasonNoShell)
	run(t, "usermod", "-s", "/bin/sh", name)
	if _, err := os.Lstat("/run/nologin"); err == nil {
		t.Skip("/run/nologin is there")
	}
	write(t, "/run/nologin", "", 0o644)
	defer os.Remove("/run/nologin")
	check(ReasonNologin, ReasonNologin)
	root, err := LookupUID(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, "root", root.Admissible(t.Context(), time.Now(), Policy{}), "")
}

// Whatever is in the file: no entry of another user is judged.
func FuzzShadow(f *testing.F) {
	f.Add("al:!:::::::\nbo:*:::::1:", "al")
	f.Add(":::::::", "")
	f.Fuzz(func(t *testing.T, file, name string) {
		for _, parse := range []func(line, name string) *passwordEntry{parseShadow, parseMaster} {
			if e := findPassword(file, name, parse); e != nil {
				if name == "" || !strings.Contains(file, name+":") {
					t.Errorf("%+v is not of %q", e, name)
				}
				_ = e.check(time.Unix(0, 0), Policy{JudgeLocked: true})
			}
		}
	})
}
