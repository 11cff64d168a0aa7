//go:build linux || darwin || freebsd

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A network is a daemon on the loopback and the options with which rex logs in
// there, as the user who runs the test.
type network struct {
	t       *testing.T
	dir     string
	daemon  *running
	options []string
}

func startNetwork(t *testing.T) *network {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	n := &network{t: t, dir: t.TempDir()}
	n.keygen("", "host")
	n.allow("")
	config := fmt.Sprintf("listen = [\"127.0.0.1:0\"]\nhost_keys = [%q]\nauthorized_keys = [%q]\nallow_users = [%q]\n"+
		"permit_root = \"yes\"\nstrict_modes = false\nsshd_policy_acknowledged = true\n", n.path("host"), n.path("keys"), me.Username)
	if err := os.WriteFile(n.path("rexd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n.daemon = start(t, "rexd", "--config", n.path("rexd.toml"))
	n.daemon.see(`"msg":"listening"`)
	port := regexp.MustCompile(`"addr":"127\.0\.0\.1:([0-9]+)"`).FindStringSubmatch(n.daemon.out.String())
	if port == nil {
		t.Fatalf("no port in %s", n.daemon.out)
	}
	n.options = []string{
		"-p", port[1], "-oIdentityAgent=none", "-oGlobalKnownHostsFile=none", "-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=" + n.path("known_hosts"),
	}
	return n
}

func (n *network) path(name string) string { return filepath.Join(n.dir, name) }

// keygen makes a key.
func (n *network) keygen(passphrase, name string) {
	n.t.Helper()
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			n.t.Fatal(err)
		}
		n.t.Skip(err)
	}
	if out, err := exec.Command(program, "-q", "-t", "ed25519", "-N", passphrase, "-a", "1", "-f", n.path(name)).CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
}

// allow lets keys in, each with its options.
func (n *network) allow(lines string) {
	n.t.Helper()
	if err := os.WriteFile(n.path("keys"), []byte(lines), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) public(name string) string {
	n.t.Helper()
	text, err := os.ReadFile(n.path(name + ".pub"))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// args are a command line with a key.
func (n *network) args(key string, words ...string) []string {
	return append(append([]string{"-i", n.path(key)}, n.options...), words...)
}

// A key that may have no terminal runs its command without one, unless one was
// asked for.
func TestTerminalRefused(t *testing.T) {
	n := startNetwork(t)
	n.keygen("", "key")
	n.allow(`restrict,command="echo forced; test -t 0 || echo no terminal" ` + n.public("key"))
	rex := newTerminal(t, "rex", n.args("key", "127.0.0.1")...)
	before := rex.mode()
	rex.launch()
	rex.ends("0")
	rex.see("rex: warning: this login may not have a terminal: the command runs without one")
	rex.see("forced")
	rex.see("no terminal")
	if after := rex.mode(); after != before {
		t.Errorf("the terminal is %s, was %s", after, before)
	}
	rex = startOnTerminal(t, "rex", n.args("key", "-t", "127.0.0.1")...)
	rex.ends("255")
	rex.see("rex: error: permission denied: this login may not have a terminal")
	rex.see("rex: hint: rex -T -i ")
	if strings.Contains(rex.out.String(), "forced") {
		t.Errorf("it ran:\n%s", rex.out)
	}
}

// A passphrase is asked for again, and not shown, after rex was stopped and
// continued by a shell.
func TestPassphraseAfterStop(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no shell with job control")
	}
	n := startNetwork(t)
	n.keygen("secret", "key")
	n.allow(n.public("key"))
	shell := startOnTerminal(t, bash, "--norc", "--noprofile", "-i")
	// Without a shell: root's may read startup files that take longer than all this.
	shell.types("rex exec '" + strings.Join(n.args("key", "127.0.0.1", "echo", "up"), "' '") + "'; echo code $?\n")
	shell.see("passphrase for ")
	until(t, "no echo", func() bool { return echoes(shell) == "-echo" })
	shell.types("\x1a")
	shell.see("Stopped")
	until(t, "an echo", func() bool { return echoes(shell) == "echo" || strings.Contains(shell.out.String(), "$ ") })
	shell.types("fg; echo code $?\n")
	shell.see("passphrase for ")
	until(t, "no echo", func() bool { return echoes(shell) == "-echo" })
	shell.types("secret\n")
	shell.see("up\r\n")
	shell.see("code 0")
	if text := shell.out.String(); strings.Contains(text, "secret") {
		t.Errorf("the passphrase was shown:\n%s", text)
	}
	shell.types("exit\n")
	shell.ends("0")
}

// A connection that is lost does not say to run the command again, and its
// words begin at the left.
func TestLostOnTerminal(t *testing.T) {
	n := startNetwork(t)
	n.keygen("", "key")
	n.allow(n.public("key"))
	rex := startOnTerminal(t, "rex", n.args("key", "-t", "127.0.0.1", "printf 'ready> '; sleep 100; :")...)
	rex.see("ready> ")
	if err := n.daemon.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rex.see("\r\nrex: error: connection lost, the other end is gone: the command was running, its end is unknown\r\n")
	rex.see("rex: hint: to see whether it still runs: rex -i ")
	rex.see(" ps -fp ")
	rex.ends("255")
}
