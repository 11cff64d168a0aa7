//go:build unix

package account

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	onePasswd = "al:x:1000:1000::/home/al:/bin/sh\n"
	oneGroup  = "al:x:1000:\ndev:x:2000:al\n"
	filesOnly = "passwd: files\ngroup:\tfiles # systemd\nhosts: dns\n"
	services  = "passwd: files ldap\ngroup: files\n"
	// getent answers for one name, id for its groups.
	getent = `[ $# = 2 ] || exit 9; case "$1 $2" in
"passwd al"|"passwd 1000") echo al:x:1000:1000::/ldap/al:/bin/zsh;;
"passwd eve"|"passwd 3000") echo eve:x:3000:3000::/ldap/eve:/bin/zsh;;
"shadow eve") echo 'eve:!:::::::';;
*) exit 2;; esac`
	id = `[ "$1 $2" = "-G --" ] && echo 5 3000 1000 77`
)

func al(home, shell string, groups ...int) *Account {
	return &Account{Name: "al", UID: 1000, GID: 1000, Groups: groups, Home: home, Shell: shell}
}

func TestSources(t *testing.T) {
	tools := map[string]string{"getent": getent, "id": id}
	nobodyElse := map[string]string{"getent": "exit 1", "id": "exit 1"}
	files := func(nsswitch string) map[string]string {
		m := map[string]string{"passwd": onePasswd, "group": oneGroup}
		if nsswitch != "" {
			m["nsswitch.conf"] = nsswitch
		}
		return m
	}
	own := al("/home/al", "/bin/sh", 1000, 2000)
	ldap := al("/ldap/al", "/bin/zsh", 1000, 5, 3000, 77)
	eve := &Account{Name: "eve", UID: 3000, GID: 3000, Groups: []int{3000, 5, 1000, 77}, Home: "/ldap/eve", Shell: "/bin/zsh"}
	for name, c := range map[string]struct {
		src  source
		user string
		want *Account
	}{
		"files":                       {etc(t, files(filesOnly), nil), "al", own},
		"files without a switch":      {etc(t, files(""), nil), "al", own},
		"files do not ask":            {etc(t, files(filesOnly), tools), "al", own},
		"files first":                 {etc(t, files(services), nobodyElse), "al", own},
		"files first, other groups":   {etc(t, files("passwd: files ldap\ngroup: files ldap"), tools), "al", al("/home/al", "/bin/sh", 1000, 5, 3000, 77)},
		"services first":              {etc(t, files("passwd: ldap files"), tools), "al", ldap},
		"merged":                      {etc(t, files("passwd: files [SUCCESS=merge] ldap"), tools), "al", ldap},
		"compatible":                  {etc(t, files("passwd: compat"), tools), "al", ldap},
		"services of groups":          {etc(t, files("group: files [NOTFOUND=return]"), tools), "al", al("/home/al", "/bin/sh", 1000, 5, 3000, 77)},
		"initgroups":                  {etc(t, files(filesOnly+"initgroups: files sss"), tools), "al", al("/home/al", "/bin/sh", 1000, 5, 3000, 77)},
		"not in files":                {etc(t, files(services), tools), "eve", eve},
		"not in files, no others":     {etc(t, files(filesOnly), tools), "eve", nil},
		"no files":                    {etc(t, map[string]string{"nsswitch.conf": services}, tools), "eve", eve},
		"no files, no switch":         {etc(t, nil, tools), "eve", nil},
		"services without tools":      {etc(t, files(services), nil), "al", own},
		"no groups":                   {etc(t, map[string]string{"passwd": onePasswd}, nil), "al", al("/home/al", "/bin/sh", 1000)},
		"nobody":                      {etc(t, files(services), tools), "mallory", nil},
		"nobody without tools":        {etc(t, files(services), nil), "mallory", nil},
		"a number is no name":         {etc(t, files(services), tools), "1000", nil},
		"an option":                   {etc(t, files(services), tools), "-al", nil},
		"two fields":                  {etc(t, files(services), tools), "al:x", nil},
		"a line more":                 {etc(t, files(services), tools), "al\neve", nil},
		"nothing":                     {etc(t, files(services), tools), "", nil},
		"another case":                {etc(t, files(services), tools), "AL", nil},
		"endless":                     {etc(t, files(services), tools), strings.Repeat("a", 1<<20), nil},
		"who is not in the services":  {etc(t, map[string]string{"passwd": "bo:x:1:1:::\n", "nsswitch.conf": "passwd: ldap files"}, tools), "bo", nil},
		"the answer is about another": {etc(t, map[string]string{"nsswitch.conf": services}, map[string]string{"getent": "echo " + strings.TrimSpace(onePasswd), "id": id}), "eve", nil},
	} {
		got, err := c.src.lookup(t.Context(), c.user, func(a *Account) bool { return a.Name == c.user })
		if c.want == nil && !errors.Is(err, ErrNotFound) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if got, err := etc(t, files(services), tools).lookup(t.Context(), "3000", byUID(3000)); err != nil || !reflect.DeepEqual(got, eve) {
		t.Errorf("by id: %+v, %v", got, err)
	}
}

// What cannot be found out is an error, and never an account or its absence.
func TestSourcesFail(t *testing.T) {
	conf := map[string]string{"nsswitch.conf": "passwd: ldap files", "passwd": onePasswd}
	for name, tools := range map[string]map[string]string{
		"getent fails":           {"getent": "exit 1", "id": id},
		"getent hangs":           {"getent": "exec sleep 100", "id": id},
		"getent's children hang": {"getent": "sleep 3 & exit 0", "id": id},
		"getent is endless":      {"getent": "exec cat /dev/zero", "id": id},
		"id is missing":          {"getent": getent},
		"id fails":               {"getent": getent, "id": "exit 1"},
		"id says words":          {"getent": getent, "id": "echo 1000 wheel"},
		"id says -1":             {"getent": getent, "id": "echo 1000 4294967295"},
		"id forgets the group":   {"getent": getent, "id": "echo 5 6"},
		"id says nothing":        {"getent": getent, "id": "true"},
	} {
		s := etc(t, conf, tools)
		if strings.Contains(name, "hang") {
			s.timeout = 200 * time.Millisecond
		}
		a, err := s.lookup(t.Context(), "al", func(a *Account) bool { return a.Name == "al" })
		if err == nil || errors.Is(err, ErrNotFound) || a != nil {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %q", name, err)
		}
	}
	s := etc(t, map[string]string{"nsswitch.conf": services}, map[string]string{"getent": "exec sleep 100"})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client is gone")
	cancel(gone)
	if _, err := s.lookup(ctx, "al", byUID(1)); !errors.Is(err, gone) {
		t.Errorf("canceled: %v", err)
	}
	if err := os.Mkdir(s.path("passwd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if a, err := s.lookup(t.Context(), "al", byUID(1)); err == nil || a != nil {
		t.Errorf("a passwd that cannot be read: %+v, %v", a, err)
	}
}

// A tool gets nothing of this process's environment.
func TestToolEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD_OF_REX", "x")
	s := etc(t, nil, map[string]string{"getent": "exec env"})
	out, err := s.run(t.Context(), "getent")
	if err != nil || strings.Contains(out, "OF_REX") || strings.Contains(out, "HOME=") || !strings.Contains(out, "LC_ALL=C\n") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestLookupSelf(t *testing.T) {
	a, err := LookupUID(t.Context(), os.Getuid())
	if err != nil {
		t.Skip(err) // a container without accounts
	}
	if a.UID != os.Getuid() || a.Name == "" || a.Home == "" || a.Shell == "" || a.Groups[0] != a.GID {
		t.Errorf("%+v", a)
	}
	if a, err := LookupUID(t.Context(), 1<<30+12345); !errors.Is(err, ErrNotFound) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := Lookup(t.Context(), "no-such-user"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%+v, %v", a, err)
	}
}

// Groups of real accounts are those that id(1) prints, from the files and from
// the tools alike.
func TestRealGroups(t *testing.T) {
	name, home := newUser(t)
	var supplementary []string
	for _, n := range []int{0, 1, 20} {
		for len(supplementary) < n {
			group := name + "g" + strconv.Itoa(len(supplementary))
			run(t, "groupadd", group)
			t.Cleanup(func() { run(t, "groupdel", group) })
			supplementary = append(supplementary, group)
		}
		run(t, "usermod", "-G", strings.Join(supplementary, ","), name)
		var want []int
		for _, field := range strings.Fields(run(t, "id", "-G", name)) {
			gid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, gid)
		}
		files := etc(t, map[string]string{"passwd": run(t, "cat", "/etc/passwd"), "group": run(t, "cat", "/etc/group")}, nil)
		for from, src := range map[string]source{"files": files, "system": system()} {
			a, err := src.lookup(t.Context(), name, func(a *Account) bool { return a.Name == name })
			if err != nil || a.Name != name || a.Home != home || a.Shell != "/bin/sh" || !slices.Equal(a.Groups, want) || len(want) != n+1 {
				t.Errorf("%s, %d groups: %+v, %v; want %v", from, n, a, err, want)
			}
			if b, err := src.lookup(t.Context(), strconv.Itoa(a.UID), byUID(a.UID)); err != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s, by id: %+v, %v", from, b, err)
			}
		}
	}
	if gid, ok := GroupID("tty"); !ok || run(t, "getent", "group", "tty") != "tty:x:"+strconv.Itoa(gid)+":\n" {
		t.Errorf("tty: %d, %v", gid, ok)
	}
}
