package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A person is an account that is not root's, in two groups more, with a home of
// its own whose authorized_keys has the key of the same name.
type person struct {
	name     string
	uid      int
	home     string
	keys     string // its authorized_keys
	original string // what is in there
}

// strangers is a daemon of root's with strict modes that reads the files at
// their usual places, started by somebody who leaves descriptors, variables and
// a umask behind. The user of the network is one of root's names.
type strangers struct{ *network }

func newStrangers(t *testing.T) strangers {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs as root")
		}
		t.Skip("needs root")
	}
	needs(t, "groupadd", "groupdel")
	return strangers{newNetwork(t)}
}

// person makes one.
func (s strangers) person(t *testing.T, shell string) *person {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rex") // t.TempDir is below a directory of root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &person{name: fmt.Sprintf("rexp%d-%d", os.Getpid(), users.Add(1)), home: filepath.Join(dir, "home")}
	for _, group := range []string{p.name + "a", p.name + "b"} {
		changeAccounts(t, "groupadd", group)
		t.Cleanup(func() { changeAccounts(t, "groupdel", group) })
	}
	addUser(t, p.name, "-M", "-d", p.home, "-s", shell, "-p", "*", "-G", p.name+"a,"+p.name+"b")
	if p.uid, err = strconv.Atoi(strings.TrimSpace(mustRun(t, "id", "-u", p.name))); err != nil || p.uid == 0 {
		t.Fatalf("uid %d, %v", p.uid, err)
	}
	s.keygen(t, p.name, "-t", "ed25519")
	p.keys, p.original = filepath.Join(p.home, ".ssh", "authorized_keys"), s.public(t, p.name)
	mustDo(t, os.Chmod(dir, 0o755))
	for _, dir := range []string{p.home, filepath.Dir(p.keys)} {
		mustDo(t, os.Mkdir(dir, 0o700), os.Chown(dir, p.uid, -1))
	}
	p.restore(t)
	return p
}

// restore makes its authorized_keys what it should be.
func (p *person) restore(t *testing.T) {
	t.Helper()
	_ = os.Remove(p.keys)
	mustDo(t, os.WriteFile(p.keys, []byte(p.original), 0o600), os.Chown(p.keys, p.uid, -1))
	mustDo(t, os.Chmod(p.home, 0o700), os.Chmod(filepath.Dir(p.keys), 0o700))
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// serve starts the daemon for root's other name and these people.
func (s strangers) serve(t *testing.T, people ...*person) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "rexd.toml")
	mustDo(t, os.WriteFile(config, []byte("permit_root = \"yes\"\nsshd_policy_acknowledged = true\n"), 0o600))
	args := []string{"-c", `umask 0; exec "$0" "$@"`, program(t, "rexd"), "--config", config, "--listen", "127.0.0.1:0", "--host-key", s.ssh("host")}
	for _, name := range append([]string{s.user}, namesOf(people)...) {
		args = append(args, "--allow-user", name)
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "USER=root", "SECRET=1", "LD_LIBRARY_PATH=/nowhere", "BASH_ENV=/nowhere"}
	for range 20 {
		f, err := os.Open("/etc/shadow")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	s.daemon = &daemon{addr: "127.0.0.1:0", done: make(chan struct{})}
	s.daemon.start(t, cmd)
	s.at = s.logged(t, `"listening","addr":"([^"]+)"`)
	s.knows(t, "host")
}

func namesOf(people []*person) (names []string) {
	for _, p := range people {
		names = append(names, p.name)
	}
	return names
}

// as is the daemon for the function to, with one key alone.
func (s strangers) as(user, key string, more ...string) string {
	return strings.Join(append(more, "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oIdentityFile="+s.ssh(key),
		"-oUserKnownHostsFile="+s.ssh("known_hosts"), "-oGlobalKnownHostsFile=none", user+"@"+s.at), "\n")
}

// says is what a command of that person says.
func (s strangers) says(t *testing.T, p *person, words ...string) string {
	t.Helper()
	got := rex(t, "", to(s.as(p.name, p.name), words...)...)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("%q: %+v", words, got)
	}
	return got.stdout
}

// TestNetworkOtherUser: a daemon of root's runs commands as another user, with
// all of that user's and nothing of its own.
func TestNetworkOtherUser(t *testing.T) {
	s := newStrangers(t)
	p := s.person(t, "/bin/sh")
	restricted := filepath.Join(filepath.Dir(p.home), "shell")
	mustDo(t, os.WriteFile(restricted, []byte("#!/bin/sh\necho \"restricted: $*\"\n"), 0o755))
	behind := s.person(t, restricted)
	s.serve(t, p, behind)
	t.Run("session", func(t *testing.T) { s.session(t, p) })
	t.Run("environment", func(t *testing.T) { s.environment(t, p) })
	t.Run("restricted shell", func(t *testing.T) { s.restrictedShell(t, behind) })
	t.Run("keys", func(t *testing.T) { s.otherKeys(t, p) })
	t.Run("unsafe files", func(t *testing.T) { s.unsafeFiles(t, p) })
}

// session looks at what a command is.
func (s strangers) session(t *testing.T, p *person) {
	for script, want := range map[string]string{
		"id -u; id -ru; id -un; pwd":              fmt.Sprintf("%d\n%d\n%s\n%s\n", p.uid, p.uid, p.name, p.home),
		"umask":                                   "0022\n",
		"ls /proc/$$/fd; true":                    "0\n1\n2\n",
		"grep Uid: /proc/self/status":             fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", p.uid),
		"grep CapEff /proc/self/status":           "CapEff:\t0000000000000000\n",
		"grep CapPrm /proc/self/status":           "CapPrm:\t0000000000000000\n",
		"grep CapAmb /proc/self/status":           "CapAmb:\t0000000000000000\n",
		"cat /etc/shadow 2>/dev/null; echo tried": "tried\n",
	} {
		if got := s.says(t, p, script); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	groups := strings.Fields(mustRun(t, "id", "-G", p.name))
	got := strings.Fields(s.says(t, p, "id -G"))
	slices.Sort(groups)
	slices.Sort(got)
	if len(groups) < 3 || !slices.Equal(got, groups) {
		t.Errorf("groups %q, want %q", got, groups)
	}
	out := rex(t, "", to(s.as(p.name, p.name, "-tt"), "ls -1 /proc/$$/fd; stat -c '%U %a' $(tty)")...)
	if want := "0\r\n1\r\n2\r\n" + p.name + " 620\r\n"; out.code != 0 || out.stdout != want {
		t.Errorf("on a terminal: %+v, want %q", out, want)
	}
	got = strings.Fields(rex(t, "", append([]string{"exec"}, to(s.as(p.name, p.name), "ls", "/proc/self/fd")...)...).stdout)
	if !slices.Equal(got, []string{"0", "1", "2", "3"}) { // the last one is that of ls
		t.Errorf("without a shell: descriptors %q", got)
	}
}

// environment has all that a login sets and nothing else.
func (s strangers) environment(t *testing.T, p *person) {
	got := rex(t, "", append([]string{"exec"}, to(s.as(p.name, p.name), "env")...)...)
	vars := make(map[string]string)
	for line := range strings.Lines(got.stdout) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		vars[name] = value
	}
	_, port, _ := strings.Cut(s.at, ":")
	client := strings.Fields(vars["SSH_CLIENT"])
	if len(client) != 3 {
		t.Fatalf("%+v", got)
	}
	connection := fmt.Sprintf("127.0.0.1 %s 127.0.0.1 %s", client[1], port)
	for name, want := range map[string]string{
		"HOME": p.home, "USER": p.name, "LOGNAME": p.name, "SHELL": "/bin/sh", "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games",
		"MAIL": "/var/mail/" + p.name, "SSH_CONNECTION": connection, "REX_CONNECTION": connection, "SSH_CLIENT": fmt.Sprintf("127.0.0.1 %s %s", client[1], port),
	} {
		if vars[name] != want {
			t.Errorf("%s is %q, want %q", name, vars[name], want)
		}
		delete(vars, name)
	}
	if len(vars) > 0 {
		t.Errorf("and %q", vars)
	}
}

// restrictedShell runs whatever runs, and without it nothing does.
func (s strangers) restrictedShell(t *testing.T, p *person) {
	if got := s.says(t, p, "id; ls"); got != "restricted: -c id; ls\n" {
		t.Errorf("a line: %q", got)
	}
	got := rex(t, "", append([]string{"exec"}, to(s.as(p.name, p.name), "id")...)...)
	if got.code == 0 || got.stdout != "" || !strings.Contains(got.stderr, "may restrict what runs") {
		t.Errorf("without it: %+v", got)
	}
}

// denied is how somebody is refused who has no right key, whatever is wrong.
func (s strangers) denied(t *testing.T, user, key string) string {
	t.Helper()
	got := rex(t, "", to(s.as(user, key), "true")...)
	if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, "permission denied (public key)") {
		t.Errorf("%s by %s: %+v", user, key, got)
	}
	return got.stderr
}

// otherKeys lets each in by its own key only.
func (s strangers) otherKeys(t *testing.T, p *person) {
	if got := rex(t, "", to(s.as(s.user, "id"), "id -u")...); got.stdout != "0\n" {
		t.Fatalf("root's key is no key: %+v", got)
	}
	s.denied(t, p.name, "id")
	s.denied(t, s.user, p.name)
}

// unsafeFiles are authorized_keys that somebody else may have written, and they
// let nobody in. The client is told what it is always told.
func (s strangers) unsafeFiles(t *testing.T, p *person) {
	mustDo(t, os.WriteFile(p.keys, nil, 0o600))
	want := s.denied(t, p.name, p.name)
	rootOnly := s.ssh("for-" + p.name)
	mustDo(t, os.WriteFile(rootOnly, []byte(p.original), 0o600))
	instead := func(put func() error) func() error {
		return func() error { return errors.Join(os.Remove(p.keys), put(), os.Lchown(p.keys, p.uid, -1)) }
	}
	for name, spoil := range map[string]func() error{
		"written by all": func() error { return os.Chmod(p.keys, 0o666) },
		"by the group":   func() error { return os.Chmod(p.keys, 0o620) },
		"another's":      func() error { return errors.Join(os.Chown(p.keys, p.uid+1, -1), os.Chmod(p.keys, 0o644)) },
		"an open .ssh":   func() error { return os.Chmod(filepath.Dir(p.keys), 0o777) },
		"an open home":   func() error { return os.Chmod(p.home, 0o770) },
		"root's alone":   func() error { return os.Chown(p.keys, 0, 0) },
		"a link to such": instead(func() error { return os.Symlink(rootOnly, p.keys) }),
		"FIFO":           instead(func() error { return syscall.Mkfifo(p.keys, 0o600) }),
		"directory":      instead(func() error { return os.Mkdir(p.keys, 0o700) }),
	} {
		p.restore(t)
		s.says(t, p, "true")
		mustDo(t, spoil())
		if got := s.denied(t, p.name, p.name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	p.restore(t)
}
