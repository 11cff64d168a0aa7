package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// somebody is a user that no file on the machine belongs to.
var somebody = &Credential{UID: 61234, GID: 61235, Groups: []uint32{61235, 7007, 61237}}

func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Getuid() != 0 && os.Getenv("CI") != "":
		t.Fatal("CI runs as root")
	case os.Getuid() != 0:
		t.Skip("needs root")
	}
}

// as is a command of that user, in /.
func as(cred *Credential, argv ...string) *Spec {
	spec := command(argv...)
	spec.Dir, spec.Credential = "/", cred
	return spec
}

// openDir makes a directory that everybody may enter, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// place makes a file with that content, mode and owner.
func place(t *testing.T, path, text string, mode os.FileMode, uid uint32) string {
	t.Helper()
	err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chown(path, int(uid), int(uid)), os.Chmod(path, mode))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// openBinary is this program where everybody may execute it.
func openBinary(t *testing.T, mode os.FileMode) string {
	t.Helper()
	b, err := os.ReadFile(testBinary())
	if err != nil {
		t.Fatal(err)
	}
	return place(t, filepath.Join(openDir(t), "program"), string(b), mode, 0)
}

func TestCredential(t *testing.T) {
	needRoot(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, c := range []struct {
			cred *Credential
			want string
		}{
			{somebody, "61234 61235 61235 7007 61237\n"},
			{&Credential{UID: 61234, GID: 61235}, "61234 61235 61235\n"},
			{&Credential{}, "0 0 0\n"},
			{nil, ""},
		} {
			out, state := runOutput(t, s, as(c.cred, "/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)"))
			if c.want != "" && out != c.want || state.Code != 0 {
				t.Errorf("%+v: %q, want %q", c.cred, out, c.want)
			}
		}
	})
}

// What a user's command finds of its process: no right and no descriptor of root's.
func TestCredentialStatus(t *testing.T) {
	needRoot(t)
	for range 20 {
		fd, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0) // not close-on-exec: as this program inherited it
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	program := openBinary(t, 0o755)
	eachMode(t, func(t *testing.T, s *Spawner) {
		out, _ := runOutput(t, s, as(somebody, "/bin/sh", "-c", `ls /proc/$$/fd; umask; cat /proc/$$/status`))
		for _, want := range []string{
			"0\n1\n2\n0022\n", "Uid:\t61234\t61234\t61234\t61234\n", "Gid:\t61235\t61235\t61235\t61235\n", "Groups:\t7007 61235 61237 \n",
			"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		out, _ = runOutput(t, s, as(somebody, program, asIntruder))
		if out != "setuid: operation not permitted\nsetgid: operation not permitted\nsetgroups: operation not permitted\nopen: permission denied\n" {
			t.Errorf("the way back to root: %q", out)
		}
	})
}

// intruderMain tries to become root again.
func intruderMain() int {
	_, err := os.Open("/etc/shadow")
	fmt.Printf("setuid: %v\nsetgid: %v\nsetgroups: %v\nopen: %v\n",
		syscall.Setuid(0), syscall.Setgid(0), syscall.Setgroups([]int{0}), errors.Unwrap(err))
	return 0
}

func TestCredentialTerminal(t *testing.T) {
	needRoot(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		for group, want := range map[uint32]string{5: "61234 5 620", 0: "61234 - 600"} {
			spec := as(somebody, "/bin/sh", "-c", `tty; echo $TTY; stat -c "%u %g %a" "$(tty)"; ps -o tty= -p $$; : >/dev/tty && : <>"$(tty)" && echo opened`)
			spec.Term = &Term{Rows: 24, Cols: 80, Group: group, NameVar: "TTY"}
			lines := strings.Split(readTerminal(t, start(t, s, spec)), "\n")
			if len(lines) != 6 || !strings.HasPrefix(lines[0], "/dev/pts/") || lines[0] != lines[1] || "/dev/"+lines[3] != lines[0] || lines[4] != "opened" {
				t.Fatalf("%q", lines)
			}
			got := strings.Fields(lines[2])
			if group == 0 {
				got[1] = "-"
			}
			if strings.Join(got, " ") != want {
				t.Errorf("the terminal is %q, want %q", got, want)
			}
		}
	})
}

// The program and the directory are what the user may reach; root's rights
// decide nothing, and what only root may see is not told.
func TestCredentialFiles(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho $0\n"
	inClosed := place(t, closed+"/tool", script, 0o755, 0)
	rootOnly := place(t, dir+"/tool", script, 0o700, 0)
	if err := os.Mkdir(dir+"/open", 0o755); err != nil {
		t.Fatal(err)
	}
	open := place(t, dir+"/open/tool", script, 0o755, 0)
	secret := place(t, dir+"/secret", "#!/the/secret/word\n", 0o711, 0)
	link := dir + "/link"
	if err := os.Symlink(closed, link); err != nil {
		t.Fatal(err)
	}
	path := func(list ...string) []string { return []string{"PATH=" + strings.Join(list, ":")} }
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, env := range [][]string{path(closed, dir, dir+"/open"), path(link, dir+"/open", dir)} {
			spec := as(somebody, "tool")
			spec.Env = env
			if out, _ := runOutput(t, s, spec); out != open+"\n" {
				t.Errorf("%q: %q, want %q", env, out, open)
			}
		}
		for _, c := range []struct {
			spec *Spec
			code string
			is   error
		}{
			{&Spec{Path: rootOnly, Dir: "/"}, CodeNotExecutable, syscall.EACCES},
			{&Spec{Path: inClosed, Dir: "/"}, CodePermissionDenied, syscall.EACCES},
			{&Spec{Path: closed + "/none", Dir: "/"}, CodePermissionDenied, syscall.EACCES}, // not that it is not there
			{&Spec{Path: "tool", Dir: "/", Env: path(dir, closed)}, CodeNotExecutable, syscall.EACCES},
			{&Spec{Path: "tool", Dir: "/", Env: path(dir + "/none")}, CodeNotFound, syscall.ENOENT},
			{&Spec{Path: "/bin/true", Dir: closed}, CodePermissionDenied, syscall.EACCES},
			{&Spec{Path: "/bin/true", Dir: closed + "/none"}, CodePermissionDenied, syscall.EACCES},
			{&Spec{Path: "./tool", Dir: closed}, CodePermissionDenied, syscall.EACCES},
		} {
			c.spec.Args, c.spec.Credential = []string{"x"}, somebody
			wantStartError(t, s, c.spec, c.code, c.is, "")
		}
		_, err := s.Start(t.Context(), &Spec{Path: secret, Args: []string{"x"}, Dir: "/", Credential: somebody})
		if err == nil || strings.Contains(err.Error(), "word") {
			t.Errorf("a file that the user may not read: %v", err)
		}
	})
}

func TestDirOptional(t *testing.T) {
	needRoot(t)
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		for dir, want := range map[string]string{closed: "/", closed + "/none": "/", "/etc/passwd": "/", "/usr": "/usr"} {
			spec := as(somebody, "/bin/pwd")
			spec.Dir, spec.DirOptional = dir, true
			if out, _ := runOutput(t, s, spec); out != want+"\n" {
				t.Errorf("%s: %q, want %s", dir, out, want)
			}
		}
	})
}

// A candidate that turns out not to be executable gives way to the next, but
// only for this reason.
func TestCandidates(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	denied := place(t, dir+"/denied", "#!/bin/sh\n", 0o644, 0)
	broken := place(t, dir+"/broken", "\x00\x01", 0o755, 0)
	l, err := newLaunch(as(somebody, "/bin/true"), []uintptr{0, 1, 2}, false)
	if err != nil {
		t.Fatal(err)
	}
	l.programs = []string{denied, "/bin/true", broken}
	c, err := l.startWatched()
	if err != nil {
		t.Fatal(err)
	}
	if state, err := c.wait(); err != nil || state.Code != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	for _, list := range [][]string{{denied, broken, "/bin/true"}, {denied, denied}} {
		l.programs = list
		if _, err := l.startWatched(); err == nil || !strings.Contains(err.Error(), filepath.Base(list[1])) {
			t.Errorf("%q: %v", list, err)
		}
	}
}

// The kernel refuses at the exec when the user has too many processes; the
// command must not run with the rights that it had before.
func TestTooManyProcesses(t *testing.T) {
	needRoot(t)
	crowd := &Credential{UID: 61299, GID: 61299}
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		t.Run(string(mode), func(t *testing.T) {
			s := newSpawner(t, Options{Mode: mode})
			for range 2 {
				_ = start(t, s, as(crowd, "/bin/sleep", "100"))
			}
			defer limitProcesses(t, 1)()
			wantStartError(t, s, as(crowd, "/bin/true"), CodeStartFailed, syscall.EAGAIN, "")
		})
	}
}

func limitProcesses(t *testing.T, n uint64) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &old); err != nil {
			t.Error(err)
		}
	}
}

// The id -1 means "as it is" to the kernel.
func TestNoCredential(t *testing.T) {
	needRoot(t)
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, cred := range []*Credential{{UID: 1<<32 - 1, GID: 1}, {UID: 1, GID: 1<<32 - 1}} {
			wantStartError(t, s, as(cred, "/bin/true"), CodeStartFailed, nil, "")
		}
		many := slices.Repeat([]uint32{1}, 70_000)
		wantStartError(t, s, as(&Credential{UID: 1, GID: 1, Groups: many}, "/bin/true"), CodeStartFailed, syscall.EINVAL, "")
	})
}

// Limits and niceness are this program's.
func TestInheritedLimits(t *testing.T) {
	needRoot(t)
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		out, _ := runOutput(t, s, as(somebody, "/bin/cat", "/proc/self/limits"))
		if got, want := lines(out, "Max open files"), lines(string(limits), "Max open files"); got != want {
			t.Errorf("limits:\n%s\nwant\n%s", got, want)
		}
		out, _ = runOutput(t, s, as(somebody, "/usr/bin/nice"))
		if got := strings.TrimSpace(out); got != strconv.Itoa(20-nice) {
			t.Errorf("nice %s, want %d", got, 20-nice)
		}
	})
}

// lines returns the text without the line of that name: the runtime raises its
// own limit of descriptors, and gives commands the one it found.
func lines(text, without string) string {
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, without) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// A command that became root, as by sudo, does not outlive its tree.
func TestKillWhatBecameRoot(t *testing.T) {
	needRoot(t)
	program := openBinary(t, os.ModeSetuid|0o755)
	var mount unix.Statfs_t
	if err := unix.Statfs(program, &mount); err != nil || mount.Flags&unix.ST_NOSUID != 0 {
		t.Skipf("setuid means nothing to %s: %v", program, err)
	}
	holdingModes(t, func(t *testing.T, s *Spawner) {
		sleep := token()
		p := start(t, s, as(somebody, program, asRoot, "sleep", sleep))
		eventually(t, "it runs", func() bool { return len(alive("sleep\x00"+sleep)) == 1 })
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if pids := alive(sleep); len(pids) > 0 {
			t.Errorf("it runs as %v", pids)
		}
	})
}

// becomeRootMain is what sudo does.
func becomeRootMain(argv []string) int {
	if err := syscall.Setuid(0); err != nil {
		return 1
	}
	_, _ = syscall.Setsid()
	_ = syscall.Exec("/bin/"+argv[0], argv, nil)
	return 1
}
