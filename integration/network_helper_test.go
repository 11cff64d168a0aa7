//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A network is a rexd on TCP and the ssh directory of somebody who may log in.
type network struct {
	*daemon
	home string // of the client: its .ssh
	user string
	at   string // host:port
}

// needs skips a test where a program is missing, but not in CI.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s must be installed in CI", name)
		}
		t.Skipf("needs %s", name)
	}
}

// mustRun runs a program that must succeed.
func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\\n%s", cmd, err, out)
	}
	return string(out)
}

// newUser is an account that may log in to a daemon of these tests: the one that
// runs them, and where that is root another name of it, with a home and a plain
// shell of its own, so that nobody's startup files are run.
func newUser(t testing.TB, home string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		return u.Username
	}
	name := fmt.Sprintf("rext%d-%d", os.Getpid(), users.Add(1))
	addUser(t, name, "-o", "-u", "0", "-M", "-d", home)
	return name
}

var users atomic.Int32

// addUser makes an account for the time of the test.
func addUser(t testing.TB, name string, args ...string) {
	t.Helper()
	needs(t, "useradd", "userdel")
	if !slices.Contains(args, "-s") {
		args = append(args, "-s", "/bin/sh")
	}
	changeAccounts(t, "useradd", append(args, name)...)
	t.Cleanup(func() { changeAccounts(t, "userdel", "-f", name) })
}

// changeAccounts runs a program that does. Other tests may hold the lock of the
// accounts for a moment.
func changeAccounts(t testing.TB, program string, args ...string) {
	t.Helper()
	untilWithin(t, patience, fmt.Sprint(program, args), func() bool {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "try again later") {
			t.Errorf("%s %v: %v: %s", program, args, err, out)
			return true
		}
		return err == nil
	})
}

// untilWithin is until for what runs after the test's context has ended.
func untilWithin(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// startNetwork starts a rexd on loopback with an ed25519 host key, which the
// client knows, for one user with one key.
func startNetwork(t testing.TB, flags ...string) *network {
	t.Helper()
	n := newNetwork(t)
	n.listen(t, "127.0.0.1:0", flags...)
	n.knows(t, "host")
	return n
}

// newNetwork makes the keys of both ends: host and id in the client's .ssh.
func newNetwork(t testing.TB) *network {
	t.Helper()
	needs(t, "ssh-keygen")
	n := &network{home: t.TempDir()}
	n.user = newUser(t, n.home)
	if err := os.Mkdir(n.ssh(""), 0o700); err != nil {
		t.Fatal(err)
	}
	n.keygen(t, "host", "-t", "ed25519")
	n.keygen(t, "id", "-t", "ed25519")
	n.authorize(t, n.public(t, "id"))
	return n
}

// ssh is a file in the client's .ssh.
func (n *network) ssh(name string) string { return filepath.Join(n.home, ".ssh", name) }

// keygen makes a key in the client's .ssh.
func (n *network) keygen(t testing.TB, name string, args ...string) {
	t.Helper()
	if !slices.Contains(args, "-N") {
		args = append(args, "-N", "")
	}
	mustRun(t, "ssh-keygen", append(args, "-q", "-f", n.ssh(name))...)
}

func (n *network) public(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(n.ssh(name + ".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write writes a file of the client's .ssh.
func (n *network) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(n.ssh(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authorize sets the lines that let somebody in.
func (n *network) authorize(t testing.TB, lines string) {
	t.Helper()
	n.write(t, "authorized_keys", lines)
}

// config is the configuration of the daemon, beside its flags.
func (n *network) config() string {
	return "permit_root = \"yes\"\nsshd_policy_acknowledged = true\nstrict_modes = false\n"
}

func (n *network) flags() []string {
	return []string{"--host-key", n.ssh("host"), "--authorized-keys", n.ssh("authorized_keys"), "--allow-user", n.user}
}

// listen starts the daemon.
func (n *network) listen(t testing.TB, addr string, flags ...string) {
	t.Helper()
	n.daemon = startDaemonAt(t, addr, n.config(), append(n.flags(), flags...)...)
	n.at = n.logged(t, `"listening","addr":"([^"]+)"`)
}

// logged is what the daemon has logged that matches.
func (d *daemon) logged(t testing.TB, pattern string) string {
	t.Helper()
	for _, line := range d.lines() {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	t.Fatalf("not in the log: %s", pattern)
	return ""
}

// knows has the client know the daemon by a key.
func (n *network) knows(t testing.TB, key string) {
	t.Helper()
	host, port, err := net.SplitHostPort(n.at)
	if err != nil {
		t.Fatal(err)
	}
	n.write(t, "known_hosts", fmt.Sprintf("[%s]:%s %s", host, port, n.public(t, key)))
}

// options are what make rex use the client's .ssh and nothing else.
func (n *network) options(more ...string) []string {
	return append(more,
		"-oIdentityAgent=none", "-oIdentityFile="+n.ssh("id"), "-oUserKnownHostsFile="+n.ssh("known_hosts"), "-oGlobalKnownHostsFile=none")
}

// host is the daemon for the function to: its options and name.
func (n *network) host(more ...string) string {
	return strings.Join(append(n.options(more...), n.user+"@"+n.at), "\n")
}

// ask runs a command there and returns what it says, which must be without an
// error.
func (n *network) ask(t testing.TB, words ...string) string {
	t.Helper()
	got := rex(t, "", to(n.host(), words...)...)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("%v: %+v", words, got)
	}
	return got.stdout
}

// lockedBuffer collects the output of a program while a test looks at it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
