package execd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/session"
)

// needRoot skips a test that needs root and programs; CI has to run it.
func needRoot(t *testing.T, programs ...string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = p
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("CI has no %s", missing)
	default:
		t.Skipf("needs %s", missing)
	}
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// newUser makes an account of this machine, in two groups more, for the time of
// the test.
func newUser(t *testing.T, options ...string) *account.Account {
	t.Helper()
	needRoot(t, "useradd", "userdel", "groupadd", "groupdel")
	name := fmt.Sprintf("rexe%d", time.Now().UnixNano()%1_000_000_000)
	dir, err := os.MkdirTemp("", "rex") // t.TempDir is root's alone
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, group := range []string{name + "a", name + "b"} {
		run(t, "groupadd", group)
		t.Cleanup(func() { run(t, "groupdel", group) })
	}
	argv := []string{"useradd", "-m", "-d", dir + "/" + name, "-s", "/bin/bash", "-p", "*", "-G", name + "a," + name + "b"}
	run(t, append(append(argv, options...), name)...)
	t.Cleanup(func() { run(t, "userdel", name) })
	a, err := account.Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func loginFor(a *account.Account) *Login {
	return &Login{User: a.Name, UID: a.UID, GID: a.GID, Groups: a.Groups, Home: a.Home, Shell: a.Shell, PTY: true, Exact: true}
}

// server is a real sshd for one user.
type server struct {
	user *account.Account
	addr netip.AddrPort
	key  string
}

// startSSHD starts an sshd on loopback that ends with the test.
func startSSHD(t *testing.T, user *account.Account) *server {
	t.Helper()
	needRoot(t, "ssh", "sshd", "ssh-keygen", "ps")
	dir := t.TempDir()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"host", "user"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/"+key)
	}
	keys := filepath.Dir(user.Home) + "/keys"
	run(t, "install", "-m", "644", dir+"/user.pub", keys)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{user: user, addr: netip.MustParseAddrPort(l.Addr().String()), key: dir + "/user"}
	_ = l.Close()
	config := fmt.Sprintf("ListenAddress %v\nHostKey %s/host\nAuthorizedKeysFile %s\nUsePAM no\nPrintMotd no\nPrintLastLog no\nPidFile none\nStrictModes no\n", s.addr, dir, keys)
	if err := os.WriteFile(dir+"/config", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("sshd") // it wants its absolute name
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-D", "-e", "-f", dir+"/config")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	s.await(t)
	return s
}

func (s *server) await(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr.String())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// how is the kind of session in which something is asked.
type how struct{ pty, login bool }

var kinds = map[string]how{"pipes": {}, "pty": {pty: true}, "login": {login: true}}

// ssh runs a script through the sshd: as a command, or as the input of a login shell.
func (s *server) ssh(t *testing.T, script string, h how) string {
	t.Helper()
	cmd := s.client(t, h)
	if h.login {
		cmd.Stdin = strings.NewReader(script + "\n")
	} else {
		cmd.Args = append(cmd.Args, script)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ssh %q: %v: %s%s", script, err, out, stderr.String())
	}
	return string(out)
}

// client is an ssh to the sshd, without a command.
func (s *server) client(t *testing.T, h how) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	args := []string{
		"-F", "none", "-i", s.key, "-p", fmt.Sprint(s.addr.Port()), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-T",
	}
	if h.pty {
		args[len(args)-1] = "-tt"
	}
	args = append(args, s.user.Name+"@"+s.addr.Addr().String())
	cmd := exec.CommandContext(ctx, "ssh", args...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	return cmd
}

// rex runs it through a Handler.
func (s *server) rex(t *testing.T, handler *Handler, script string, h how) string {
	t.Helper()
	l := loginFor(s.user)
	l.Local, l.Remote = s.addr, netip.AddrPortFrom(s.addr.Addr(), 50000)
	req := &session.Request{IsLine: !h.login, Line: script, Stdin: true, Stdout: true, Stderr: true, Peer: session.Peer{Login: l}}
	if h.login {
		req.Line = ""
	}
	if h.pty {
		req.Term = &session.Term{Name: "xterm"}
	}
	p, err := handler.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if h.login {
		_, err = io.WriteString(p.Stdin(), script+"\n")
	}
	if err := errors.Join(err, p.Stdin().Close()); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Stdout())
	if err != nil {
		t.Fatal(err)
	}
	if p.Stderr() != nil {
		if text, err := io.ReadAll(p.Stderr()); err != nil || len(text) > 0 {
			t.Errorf("%q: stderr %q, %v", script, text, err)
		}
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Errorf("%q: %+v, %v", script, exit, err)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
	return string(out)
}

// facts are what a session is asked for. They run in sh, and none prints what
// is different each time.
var facts = []struct{ name, script string }{
	{"id", "id; id -G; id -u -r; id -g -r"},
	{"umask", "umask"},
	{"limits", "ulimit -S -a; ulimit -H -a"},
	{"nice and oom", "nice; cat /proc/self/oom_score_adj; cat /proc/self/oom_adj"},
	{"descriptors", `for fd in /proc/$$/fd/*; do l=$(readlink $fd) && echo ${fd##*/} $l; done; grep -h flags /proc/$$/fdinfo/[012]`},
	{"terminal", `tty; ps -o tty= -p $$; [ -c /dev/tty ] && (: </dev/tty) 2>/dev/null && echo controlling; t=$(tty) && stat -c "%U %G %a" $t`},
	{"process", `[ "$(ps -o pgid= -p $$)" -eq $$ ] && echo leads its group; [ "$(ps -o sid= -p $$)" -eq $$ ] && echo leads its session; pwd; ps -o args= -p $$ | cut -c1-20`},
	{"rights", "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)' /proc/$$/status"},
	{"signals", "grep -E '^Sig(Blk|Ign)' /proc/self/status"},
	{"environment", "env -0 | sort -z | tr '\\0' '\\n'"},
	{"arguments", `echo "$0" "$#"`},
	{"audit", "cat /proc/self/loginuid /proc/self/sessionid"},
}

// difference is one that docs/security.md lists: a line that only the one or
// only the other has, in the sessions of that kind.
type difference struct {
	fact     string
	how      string // "" all, or one of kinds
	ssh, rex string // lines; "" if the other alone has one
	because  string
}

var differences = []difference{
	{fact: "environment", rex: "REX_CONNECTION=127.0.0.1 PORT 127.0.0.1 PORT", because: "the name for programs that know rex; the same as SSH_CONNECTION"},
	{fact: "descriptors", how: "pty", ssh: "flags:\t02", rex: "flags:\t0100002", because: "O_LARGEFILE, which means nothing to a terminal"},
}

// TestLikeSSH: a session is what ssh gives the same user, but for the listed
// differences.
func TestLikeSSH(t *testing.T) {
	needRoot(t, "ssh", "sshd", "ssh-keygen", "ps", "useradd")
	old := unix.Umask(0o022) // as rexd sets it
	defer unix.Umask(old)
	user := newUser(t)
	sshd := startSSHD(t, user)
	answers := make(map[string]map[string][]string)
	for kind, h := range kinds {
		answers[kind] = parts(sshd.ssh(t, questions(), h))
	}
	for _, mode := range []string{"cgroup", "keeper", "group"} {
		handler, err := New(Options{Mode: mode, Keeper: []string{"/proc/self/exe", "session-keeper"}})
		if err != nil {
			t.Logf("%s: %v", mode, err)
			continue
		}
		t.Cleanup(func() { _ = handler.Close() })
		t.Run(mode, func(t *testing.T) {
			for kind, h := range kinds {
				compare(t, kind, answers[kind], parts(sshd.rex(t, handler, questions(), h)))
			}
		})
	}
	t.Logf("the differences, for docs/security.md:\n%s", differenceTable())
}

// questions asks for all facts at once: an ssh is slow.
func questions() string {
	var script strings.Builder
	for _, f := range facts {
		fmt.Fprintf(&script, "echo '== %s'; %s\n", f.name, f.script)
	}
	return script.String()
}

func compare(t *testing.T, kind string, ssh, rex map[string][]string) {
	t.Helper()
	for _, f := range facts {
		a, b := onlyIn(ssh[f.name], rex[f.name]), onlyIn(rex[f.name], ssh[f.name])
		wantA, wantB := listed(f.name, kind)
		if !slices.Equal(slices.Compact(a), wantA) || !slices.Equal(slices.Compact(b), wantB) || len(ssh[f.name]) == 0 {
			t.Errorf("%s by %s: only ssh has %q (listed: %q), only rex has %q (listed: %q)", f.name, kind, a, wantA, b, wantB)
		}
	}
}

// parts splits the answer by fact, and takes away what is different each time.
func parts(out string) map[string][]string {
	for _, r := range []struct{ pattern, with string }{
		{`\r`, ""},
		{`(pipe|socket):\[\d+\]`, "$1"},
		{`pts/\d+`, "pts/N"},
		{`(SSH_CLIENT=\S+) \d+ \d+`, "$1 PORT PORT"},
		{`(_CONNECTION=\S+) \d+ (\S+) \d+`, "$1 PORT $2 PORT"},
	} {
		out = regexp.MustCompile(r.pattern).ReplaceAllString(out, r.with)
	}
	found := make(map[string][]string)
	for part := range strings.SplitSeq(out, "== ") {
		name, rest, _ := strings.Cut(part, "\n")
		found[name] = strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	}
	return found
}

func onlyIn(a, b []string) (only []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			only = append(only, line)
		}
	}
	return only
}

func listed(fact, how string) (ssh, rex []string) {
	for _, d := range differences {
		if d.fact != fact || d.how != "" && d.how != how {
			continue
		}
		if d.ssh != "" {
			ssh = append(ssh, d.ssh)
		}
		if d.rex != "" {
			rex = append(rex, d.rex)
		}
	}
	return ssh, rex
}

func differenceTable() string {
	var b strings.Builder
	b.WriteString("| what | sessions | ssh | rex | because |\n|---|---|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.fact, d.how, d.ssh, d.rex, d.because)
	}
	return b.String()
}
