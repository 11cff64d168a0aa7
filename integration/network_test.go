//go:build unix

package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/listentest"
)

// TestNetworkKeys logs in with every type of key that ssh-keygen makes, and to
// hosts with them.
func TestNetworkKeys(t *testing.T) {
	n := startNetwork(t)
	for name, args := range map[string][]string{
		"ecdsa-256": {"-t", "ecdsa", "-b", "256"}, "ecdsa-384": {"-t", "ecdsa", "-b", "384"}, "ecdsa-521": {"-t", "ecdsa", "-b", "521"},
		"rsa-2048": {"-t", "rsa", "-b", "2048"}, "rsa-4096": {"-t", "rsa", "-b", "4096"}, "pem": {"-t", "rsa", "-b", "2048", "-m", "PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			n.keygen(t, name, args...)
			n.authorize(t, n.public(t, name))
			got := rex(t, "", to(n.host("-i", n.ssh(name)), "echo", "$SSH_CONNECTION")...)
			if got.code != 0 || !strings.HasPrefix(got.stdout, "127.0.0.1 ") {
				t.Errorf("%+v", got)
			}
			host := newNetwork(t)
			host.keygen(t, "other", args...)
			if err := os.Rename(host.ssh("other"), host.ssh("host")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(host.ssh("other.pub"), host.ssh("host.pub")); err != nil {
				t.Fatal(err)
			}
			host.listen(t, "127.0.0.1:0")
			host.knows(t, "host")
			host.ask(t, "true")
		})
	}
}

// TestNetworkAgent logs in with a key that only a running agent has.
func TestNetworkAgent(t *testing.T) {
	needs(t, "ssh-agent", "ssh-add")
	n := startNetwork(t)
	socket := filepath.Join(socketDir(t), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	}()
	until(t, patience, "the agent listens", func() bool { _, err := os.Stat(socket); return err == nil })
	n.keygen(t, "agents", "-t", "rsa", "-b", "3072")
	add := exec.Command("ssh-add", "-q", n.ssh("agents"))
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.authorize(t, n.public(t, "agents"))
	if err := os.Remove(n.ssh("agents")); err != nil {
		t.Fatal(err)
	}
	if got := rex(t, "", to(n.host("-oIdentityAgent="+socket), "echo in")...); got != (result{stdout: "in\n"}) {
		t.Errorf("%+v", got)
	}
	_ = agent.Process.Kill()
	got := rex(t, "", to(n.host("-oIdentityAgent="+socket), "echo in")...)
	if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, "rex: hint: ") {
		t.Errorf("without it: %+v", got)
	}
}

// TestNetworkCertificates: hosts and users by certificates that ssh-keygen
// signed, and what revokes them.
func TestNetworkCertificates(t *testing.T) {
	n := newNetwork(t)
	n.keygen(t, "ca", "-t", "ed25519")
	n.keygen(t, "other-ca", "-t", "ed25519")
	mustRun(t, "ssh-keygen", "-q", "-s", n.ssh("ca"), "-I", "web1", "-h", "-n", "127.0.0.1,web1", n.ssh("host.pub"))
	n.listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(n.at)
	n.write(t, "known_hosts", fmt.Sprintf("@cert-authority [127.0.0.*]:%s %s", port, n.public(t, "ca")))
	n.ask(t, "true")
	n.write(t, "known_hosts", fmt.Sprintf("@cert-authority [127.0.0.*]:%s %s@revoked * %s", port, n.public(t, "ca"), n.public(t, "ca")))
	if got := rex(t, "", to(n.host(), "echo in")...); got.code != 255 || !strings.Contains(got.stderr, "revoked") {
		t.Errorf("a revoked authority: %+v", got)
	}
	n.knows(t, "host")
	for name, c := range map[string]struct {
		sign []string
		line string
		in   bool
	}{
		"good":         {[]string{"-s", n.ssh("ca"), "-n", n.user}, "cert-authority ", true},
		"other user":   {[]string{"-s", n.ssh("ca"), "-n", "somebody"}, "cert-authority ", false},
		"principals":   {[]string{"-s", n.ssh("ca"), "-n", "ops"}, `cert-authority,principals="ops" `, true},
		"no principal": {[]string{"-s", n.ssh("ca")}, "cert-authority ", false},
		"expired":      {[]string{"-s", n.ssh("ca"), "-n", n.user, "-V", "20200101:20200102"}, "cert-authority ", false},
		"other ca":     {[]string{"-s", n.ssh("other-ca"), "-n", n.user}, "cert-authority ", false},
		"a plain key":  {[]string{"-s", n.ssh("ca"), "-n", n.user}, "", false},
		"elsewhere":    {[]string{"-s", n.ssh("ca"), "-n", n.user, "-O", "source-address=192.0.2.0/24"}, "cert-authority ", false},
	} {
		t.Run(name, func(t *testing.T) {
			n.authorize(t, c.line+n.public(t, "ca"))
			mustRun(t, "ssh-keygen", append(c.sign, "-q", "-I", name, n.ssh("id.pub"))...)
			got := rex(t, "", to(n.host(), "echo in")...)
			if want := map[bool]result{true: {stdout: "in\n"}}[c.in]; c.in && got != want || !c.in && got.code != 255 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestNetworkForcedCommand: a key with a forced command runs nothing else,
// whatever is asked for.
func TestNetworkForcedCommand(t *testing.T) {
	n := startNetwork(t)
	for _, options := range []string{"restrict,", ""} {
		n.authorize(t, options+`command="echo forced: $SSH_ORIGINAL_COMMAND" `+n.public(t, "id"))
		n.forced(t, options == "")
	}
}

// TestNetworkForcedCertificate: so does a certificate with one, and a line and
// a certificate that force different commands let nobody in.
func TestNetworkForcedCertificate(t *testing.T) {
	n := startNetwork(t)
	n.keygen(t, "ca", "-t", "ed25519")
	const command = "echo forced: $SSH_ORIGINAL_COMMAND"
	mustRun(t, "ssh-keygen", "-q", "-s", n.ssh("ca"), "-I", "forced", "-n", n.user, "-O", "force-command="+command, n.ssh("id.pub"))
	for _, options := range []string{"", `,command="` + command + `"`} {
		n.authorize(t, "cert-authority"+options+" "+n.public(t, "ca"))
		n.forced(t, true)
	}
	n.authorize(t, `cert-authority,command="true" `+n.public(t, "ca"))
	if got := rex(t, "", to(n.host(), "true")...); got.code != 255 || !strings.Contains(got.stderr, "permission denied") {
		t.Errorf("two commands: %+v", got)
	}
	n.authorize(t, "cert-authority "+n.public(t, "ca"))
	mustRun(t, "ssh-keygen", "-q", "-s", n.ssh("ca"), "-I", "no terminal", "-n", n.user, "-O", "no-pty", n.ssh("id.pub"))
	if got := rex(t, "", to(n.host("-tt"), "true")...); got.code == 0 || !strings.Contains(got.stderr, "may not have a terminal") {
		t.Errorf("a terminal: %+v", got)
	}
}

// forced asks in every way for another command than the one that says "forced:".
func (n *network) forced(t *testing.T, terminals bool) {
	t.Helper()
	evil := n.ssh("evil")
	for name, args := range map[string][]string{
		"line":      to(n.host(), "touch", evil),
		"exact":     append([]string{"exec"}, to(n.host(), "touch", evil)...),
		"shell":     to(n.host("-T")),
		"terminal":  to(n.host("-tt"), "touch "+evil),
		"newline":   to(n.host(), "x\n touch "+evil),
		"dollar":    to(n.host(), "$(touch "+evil+")"),
		"directory": to(n.host("--dir", "$(touch "+evil+")"), "x"),
		"env":       to(n.host("--env", "BASH_ENV="+n.ssh("id.pub"), "--env", "LD_PRELOAD=x", "--env", "A=() { :; }; touch "+evil), "x"),
	} {
		got := rex(t, "touch "+evil+"\n", args...)
		if refused := name == "terminal" && !terminals; refused == (got.code == 0) || !refused && !strings.Contains(got.stdout, "forced:") {
			t.Errorf("%s: %+v", name, got)
		}
		if _, err := os.Stat(evil); err == nil {
			t.Fatalf("%s left the forced command", name)
		}
	}
}

// TestNetworkHosts: what is known of a host decides, and errors say what to do.
func TestNetworkHosts(t *testing.T) {
	n := startNetwork(t)
	n.keygen(t, "other", "-t", "ed25519")
	known := func(key string) string {
		host, port, _ := net.SplitHostPort(n.at)
		return fmt.Sprintf("[%s]:%s %s", host, port, n.public(t, key))
	}
	for name, c := range map[string]struct {
		file string
		opts []string
		code int
		says []string
	}{
		"known":          {known("host"), nil, 0, nil},
		"unknown":        {"", nil, 255, []string{"rex: error: ", "rex: hint: "}},
		"accept-new":     {"", []string{"-oStrictHostKeyChecking=accept-new"}, 0, []string{"was added"}},
		"changed":        {known("other"), nil, 255, []string{"has changed", n.ssh("known_hosts") + " line 1", "ssh-keygen -R"}},
		"changed, new":   {known("other"), []string{"-oStrictHostKeyChecking=accept-new"}, 255, []string{"has changed"}},
		"revoked":        {"@revoked * " + n.public(t, "host") + known("host"), nil, 255, []string{"revoked"}},
		"junk in front":  {"\x00\nfoo bar baz\n@what x y z\n" + known("host"), nil, 0, nil},
		"a line of sshd": {"127.0.0.1 " + n.public(t, "host"), nil, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n.write(t, "known_hosts", c.file)
			got := rex(t, "", to(n.host(c.opts...), "echo in")...)
			if got.code != c.code || (got.stdout == "in\n") != (c.code == 0) {
				t.Errorf("%+v", got)
			}
			for _, says := range c.says {
				if !strings.Contains(got.stderr, says) {
					t.Errorf("no %q in %q", says, got.stderr)
				}
			}
		})
	}
	n.write(t, "known_hosts", known("host"))
	mustRun(t, "ssh-keygen", "-H", "-f", n.ssh("known_hosts"))
	n.ask(t, "true")
}

// TestNetworkBadInput: every failure is one line and a hint, and 255.
func TestNetworkBadInput(t *testing.T) {
	n := startNetwork(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed := silent.Addr().String()
	ssh := listentest.Listen(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	n.keygen(t, "stranger", "-t", "ed25519")
	exposed := n.ssh("exposed")
	if text, err := os.ReadFile(n.ssh("id")); err != nil || os.WriteFile(exposed, text, 0o644) != nil {
		t.Fatal(err)
	}
	opts := func(more ...string) []string { return n.options(more...) }
	at := func(who string, more ...string) []string { return append(opts(more...), who, "true") }
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nobody listens":  {at(nobody), "nobody listens"},
		"speaks ssh":      {at(ssh.String()), "ssh"},
		"says nothing":    {at(closed, "-oConnectTimeout=1"), "rex: hint: "},
		"no such name":    {at("host.invalid"), "host.invalid"},
		"no such user":    {at("no-such-user@" + n.at), "permission denied"},
		"wrong key":       {append([]string{"-oIdentityFile=" + n.ssh("stranger")}, "-oIdentityAgent=none", "-oUserKnownHostsFile="+n.ssh("known_hosts"), n.user+"@"+n.at, "true"), "permission denied"},
		"no key":          {[]string{"-oIdentityFile=" + n.ssh("missing"), "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oUserKnownHostsFile=" + n.ssh("known_hosts"), n.user + "@" + n.at, "true"}, "key"},
		"exposed key":     {[]string{"-oIdentityFile=" + exposed, "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oUserKnownHostsFile=" + n.ssh("known_hosts"), n.user + "@" + n.at, "true"}, "exposed"},
		"unreadable file": {at(n.user+"@"+n.at, "-oUserKnownHostsFile="+n.home), n.home},
	} {
		t.Run(name, func(t *testing.T) {
			got := rex(t, "", c.args...)
			if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, c.says) {
				t.Errorf("%+v", got)
			}
			if !strings.Contains(got.stderr, "rex: error: ") || !strings.Contains(got.stderr, "rex: hint: ") {
				t.Errorf("no error and hint: %q", got.stderr)
			}
		})
	}
}

// TestNetworkUnknownUserLooksLikeWrongKey: the words are the same.
func TestNetworkUnknownUserLooksLikeWrongKey(t *testing.T) {
	n := startNetwork(t)
	n.authorize(t, "")
	wrong := rex(t, "", to(n.host(), "true")...)
	unknown := rex(t, "", to(strings.Join(append(n.options(), "no-such-user@"+n.at), "\n"), "true")...)
	if a, b := strings.ReplaceAll(wrong.stderr, n.user+"@", "X@"), strings.ReplaceAll(unknown.stderr, "no-such-user@", "X@"); a != b {
		t.Errorf("a wrong key:     %q\nan unknown user: %q", a, b)
	}
}

// TestNetworkReload: a daemon that reads its configuration again drops nobody.
func TestNetworkReload(t *testing.T) {
	n := startNetwork(t)
	cmd := rexCommand(t, to(n.host(), "echo up; cat; exit 4")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, patience, "it runs", func() bool { return out.String() == "up\n" })
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, patience, "it was read", func() bool {
		return slices.ContainsFunc(n.lines(), func(l string) bool { return strings.Contains(l, "configuration reloaded") })
	})
	fmt.Fprintln(stdin, "still here")
	_ = stdin.Close()
	if code := exitCode(t, cmd.Wait()); code != 4 || out.String() != "up\nstill here\n" {
		t.Errorf("status %d, %q", code, out.String())
	}
}

// TestNetworkLogs: the log says who came by which key and line, and who did not
// get in and why.
func TestNetworkLogs(t *testing.T) {
	n := startNetwork(t)
	n.ask(t, "true")
	var login struct{ Msg, User, Peer, Key, AuthorizedBy string }
	for _, line := range n.lines() {
		if strings.Contains(line, `"msg":"login"`) {
			line = strings.ReplaceAll(line, "authorized_by", "AuthorizedBy")
			if err := json.Unmarshal([]byte(line), &login); err != nil {
				t.Fatal(err)
			}
		}
	}
	fingerprint := strings.Fields(mustRun(t, "ssh-keygen", "-l", "-f", n.ssh("id")))[1]
	if login.User != n.user || login.Key != fingerprint || login.AuthorizedBy != n.ssh("authorized_keys")+":1" || !strings.HasPrefix(login.Peer, "127.0.0.1:") {
		t.Errorf("%+v", login)
	}
	n.authorize(t, "")
	rex(t, "", to(n.host(), "true")...)
	until(t, patience, "the refusal is logged", func() bool {
		return slices.ContainsFunc(n.lines(), func(l string) bool { return strings.Contains(l, "login refused") && strings.Contains(l, fingerprint) })
	})
}

// TestNetworkBulk sends and fetches what a slow pipe would lose.
func TestNetworkBulk(t *testing.T) {
	n := startNetwork(t)
	const size = 64 << 20
	want := sha256.New()
	chunk := make([]byte, 1<<20)
	for range size >> 20 {
		want.Write(chunk)
	}
	sum := hex.EncodeToString(want.Sum(nil))
	got := n.ask(t, fmt.Sprintf("head -c %d /dev/zero | sha256sum", size))
	if !strings.HasPrefix(got, sum) {
		t.Errorf("there: %s", got)
	}
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`head -c %d /dev/zero | "$@" cat | sha256sum`, size), "sh")
	cmd.Args = append(cmd.Args, program(t, "rex"))
	cmd.Args = append(cmd.Args, to(n.host())...)
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), sum) {
		t.Errorf("both ways: %s, %v", out, err)
	}
}

// TestNetworkDaemonKilled: rexd killed in the middle is 255 with the reason.
func TestNetworkDaemonKilled(t *testing.T) {
	n := startNetwork(t)
	var out, errs lockedBuffer
	cmd := rexCommand(t, to(n.host(), "echo up; sleep 60")...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, patience, "it runs", func() bool { return out.String() == "up\n" })
	start := time.Now()
	_ = n.cmd.Process.Kill()
	if code := exitCode(t, cmd.Wait()); code != 255 || !strings.Contains(errs.String(), "rex: error: ") {
		t.Errorf("status %d, %q", code, errs.String())
	}
	t.Logf("noticed after %v", time.Since(start))
}
