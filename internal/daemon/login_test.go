//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authkeys"
	"github.com/rexec/rex/internal/auth/authorize"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// newSigner makes a key and a file for it.
func newSigner(t *testing.T) auth.Signer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if _, err := auth.CreateHostKey(path); err != nil { // a key as any other
		t.Fatal(err)
	}
	signer, err := auth.OpenIdentity(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// A netRexd is a rexd that listens on loopback and lets in who runs the tests.
type netRexd struct {
	*running
	config string // a file
	keys   string // the authorized_keys file
	host   string // fingerprint of the host key
	port   int
}

// loginConfig is a configuration for who runs the tests.
func loginConfig(t *testing.T, keys, more string) string {
	t.Helper()
	return fmt.Sprintf("allow_users = [%q]\nauthorized_keys = [%q]\npermit_root = 'yes'\nstrict_modes = false\nsshd_policy_acknowledged = true\n%s\n", userName(), keys, more)
}

// startNetwork starts rexd with the lines in its authorized_keys file.
func startNetwork(t *testing.T, lines ...string) *netRexd {
	t.Helper()
	dir := t.TempDir()
	n := &netRexd{keys: filepath.Join(dir, "keys"), config: filepath.Join(dir, "rexd.toml")}
	hostKey := filepath.Join(dir, "host_key")
	key, err := auth.CreateHostKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	n.host = key.Key().Fingerprint()
	n.write(t, n.keys, strings.Join(lines, "\n")+"\n")
	n.write(t, n.config, loginConfig(t, n.keys, ""))
	n.running = startCommand(t, command(t, "--config", n.config, "--listen", "127.0.0.1:0", "--host-key", hostKey), "")
	addr := fmt.Sprint(n.waitLog("listening")["addr"])
	_, port, err := net.SplitHostPort(addr)
	if n.port, _ = strconv.Atoi(port); err != nil || n.port == 0 || !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Fatalf("listening at %q", addr)
	}
	return n
}

func (n *netRexd) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// login logs in over TCP.
func (n *netRexd) login(t *testing.T, user string, signers ...auth.Signer) (*session.Client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := transport.DialTCP(ctx, "127.0.0.1", n.port, &transport.TCPOptions{
		User: user, Signers: signers, AwaitVerdict: true,
		VerifyHost: func(_ context.Context, proof *transport.HostProof) error {
			if got := proof.Key.Fingerprint(); got != n.host {
				return fmt.Errorf("host key %s", got)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	c, err := session.NewClient(conn, nil)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (n *netRexd) mustLogin(t *testing.T, signers ...auth.Signer) *session.Client {
	t.Helper()
	c, err := n.login(t, userName(), signers...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustRefuse demands the one text that there is for peers, and the reason in
// the log.
func (n *netRexd) mustRefuse(t *testing.T, user, reason string, signers ...auth.Signer) {
	t.Helper()
	n.forget()
	_, err := n.login(t, user, signers...)
	if e, ok := errors.AsType[*transport.RefusedError](err); !ok || !strings.Contains(e.Error(), "permission denied (public key)") || strings.Contains(e.Error(), reason) {
		t.Errorf("%s: %v", user, err)
	}
	record := n.waitLog("login refused")
	text := fmt.Sprint(record["err"])
	if !strings.Contains(text, reason) || record["key"] != signers[len(signers)-1].Key().Fingerprint() || record["user"] != user || !strings.HasPrefix(fmt.Sprint(record["peer"]), "127.0.0.1:") {
		t.Errorf("%s: %v, want %q", user, record, reason)
	}
}

func TestLogin(t *testing.T) {
	good, bad := newSigner(t), newSigner(t)
	n := startNetwork(t, "# a comment", good.Key().String()+" me")
	if got := n.waitLog("host key"); got["fingerprint"] != n.host {
		t.Errorf("host key: %v", got)
	}
	c := n.mustLogin(t, bad, good) // asks which
	out, err := c.Command("id", "-u").Output()
	if err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(os.Geteuid()) {
		t.Errorf("id -u: %q, %v", out, err)
	}
	out, err = c.Command("printenv", "SSH_CONNECTION").Output()
	if err != nil || !strings.HasSuffix(string(out), fmt.Sprintf(" 127.0.0.1 %d\n", n.port)) {
		t.Errorf("SSH_CONNECTION: %q, %v", out, err)
	}
	record := n.waitLog("login")
	if record["user"] != userName() || record["key"] != good.Key().Fingerprint() || record["authorized_by"] != n.keys+":2" || !strings.HasPrefix(fmt.Sprint(record["peer"]), "127.0.0.1:") {
		t.Errorf("login: %v", record)
	}
	n.mustRefuse(t, userName(), "it is not in "+n.keys, bad)
	n.mustRefuse(t, "nobody-here", "not in allow_users", good)
}

func TestLoginLines(t *testing.T) {
	forced, elsewhere, wrong := newSigner(t), newSigner(t), newSigner(t)
	n := startNetwork(t,
		`restrict,command="echo \"$SSH_ORIGINAL_COMMAND\"" `+forced.Key().String(),
		`from="192.0.2.0/24" `+elsewhere.Key().String(),
		`new-option `+wrong.Key().String(), wrong.Key().String())
	c := n.mustLogin(t, forced)
	if out, err := c.Command("cat", "/etc/passwd").Output(); err != nil || string(out) != "cat /etc/passwd\n" {
		t.Errorf("forced, argv: %q, %v", out, err)
	}
	if record := n.waitLog("login"); record["forced_command"] == nil || record["without"] != "pty,exact" {
		t.Errorf("login: %v", record)
	}
	n.mustRefuse(t, userName(), ":2: from: no pattern matches 127.0.0.1", elsewhere)
	n.mustRefuse(t, userName(), `:3: the line is not accepted: unknown option "new-option"`, wrong)
}

// TestReloadLogins changes who may log in while somebody is.
func TestReloadLogins(t *testing.T) {
	signer := newSigner(t)
	n := startNetwork(t, signer.Key().String())
	c := n.mustLogin(t, signer)
	reload := func(text, msg string) {
		t.Helper()
		n.write(t, n.config, text)
		n.forget()
		n.signal(syscall.SIGHUP)
		n.waitLog(msg)
	}
	reload(loginConfig(t, n.keys, fmt.Sprintf("deny_users = [%q]", userName())), "configuration reloaded")
	n.mustRefuse(t, userName(), "in deny_users", signer)
	if err := c.Command("true").Run(); err != nil {
		t.Error("the session that was there:", err)
	}
	for _, bad := range []string{"nonsense", "revoked_keys = '/nonexistent'", "allow_groups = ['no-such-group']", "max_commands = 0"} {
		text := bad
		if bad != "nonsense" {
			text = loginConfig(t, n.keys, bad)
		}
		reload(text, "configuration not reloaded, the old one stays")
		n.mustRefuse(t, userName(), "in deny_users", signer)
	}
	reload(loginConfig(t, n.keys, "max_commands = 3\nhost_keys = ['/other']"), "configuration reloaded")
	if err := n.mustLogin(t, signer).Command("true").Run(); err != nil {
		t.Error(err)
	}
	n.write(t, n.keys, "# nobody any more\n") // is read for every login
	n.mustRefuse(t, userName(), "it is not in", signer)
	if err := c.Command("true").Run(); err != nil {
		t.Error("the session that was there:", err)
	}
}

// TestReloadKeys takes services away that keys are bound to.
func TestReloadKeys(t *testing.T) {
	signer := newSigner(t)
	n := startNetwork(t, signer.Key().String())
	reload := func(services string) {
		t.Helper()
		n.write(t, n.config, loginConfig(t, n.keys, services))
		n.forget()
		n.signal(syscall.SIGHUP)
		n.waitLog("configuration reloaded")
	}
	binding := func(name string) string {
		return fmt.Sprintf("[[service]]\nname = %q\ncommand = ['echo', %q]\nonly_keys = [%q]\n", name, name, signer.Key().Fingerprint())
	}
	runs := func(want string) {
		t.Helper()
		if out, err := n.mustLogin(t, signer).Command("echo", "free").Output(); string(out) != want+"\n" || err != nil {
			t.Errorf("%q, %v, want %s", out, err, want)
		}
	}
	const stays = "a key stays bound to its service until the next start, and is free then"
	runs("free")
	reload(binding("first"))
	runs("first")
	reload(binding("second"))
	runs("second")
	if record := n.logged(stays); record != nil {
		t.Errorf("a key that another service has: %v", record)
	}
	for range 2 { // the second time it has been kept already
		reload("")
		if record := n.logged(stays); record["key"] != signer.Key().Fingerprint() || record["service"] != "second" || record["level"] != "WARN" {
			t.Errorf("record %v", record)
		}
		if out, err := n.mustLogin(t, signer).Command("echo", "free").Output(); len(out) > 0 || !errors.Is(err, proto.CodeNoSubsystem) {
			t.Errorf("the key of a service that is gone: %q, %v", out, err)
		}
	}
	reload(strings.ReplaceAll(binding("second"), "only_keys", "# "))
	runs("second")
	reload(binding("third"))
	runs("third")
}

// TestNetworkDrains has a command that goes on through the first signal.
func TestNetworkDrains(t *testing.T) {
	signer := newSigner(t)
	n := startNetwork(t, signer.Key().String())
	cmd := n.mustLogin(t, signer).Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.signal(syscall.SIGTERM)
	n.waitLog("draining")
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if code := n.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if _, err := n.login(t, userName(), signer); err == nil {
		t.Error("it still listens")
	}
}

func TestPortInUse(t *testing.T) {
	n := startNetwork(t)
	addr := fmt.Sprintf("127.0.0.1:%d", n.port)
	got := runToEnd(t, command(t, "--config", n.config, "--listen", addr))
	if got.code != exitError || !strings.Contains(got.stderr, "rexd: error: listen tcp "+addr+": bind: address already in use\n") || !strings.Contains(got.stderr, "rexd: hint: stop what listens there") {
		t.Errorf("%+v", got)
	}
	got = runToEnd(t, command(t, "--config", n.config, "--listen", "192.0.2.1:0"))
	if got.code != exitError || !strings.Contains(got.stderr, "rexd: hint: this host does not have that address") {
		t.Errorf("%+v", got)
	}
}

func TestCheckNetwork(t *testing.T) {
	n := startNetwork(t)
	got := runToEnd(t, command(t, "--check", "--config", n.config, "--listen", fmt.Sprintf("127.0.0.1:%d", n.port), "--host-key", filepath.Join(filepath.Dir(n.config), "host_key")))
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{
		fmt.Sprintf("listen:       127.0.0.1:%d\n", n.port), "logins:       ", "allow_users " + userName(), n.host,
		"max_commands: 240 at once in a session, 64 if it came over the network\n", "\nok\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	if strings.Contains(got.stdout, "users: ") {
		t.Errorf("who may use Unix sockets, and there is none:\n%s", got.stdout)
	}
}

// TestHostCertificate is named in the log and by --check.
func TestHostCertificate(t *testing.T) {
	dir := t.TempDir()
	ca, host := filepath.Join(dir, "ca"), filepath.Join(dir, "host")
	for _, path := range []string{ca, host} {
		keygen(t, "-t", "ed25519", "-N", "", "-f", path)
	}
	keygen(t, "-h", "-s", ca, "-I", "id", "-n", "localhost", host+".pub")
	config := writeConfig(t, loginConfig(t, filepath.Join(dir, "keys"), ""))
	args := []string{"--config", config, "--listen", "127.0.0.1:0", "--host-key", host}
	if got := runToEnd(t, command(t, append(args, "--check")...)); got.code != exitOK || !strings.Contains(got.stdout, " with a certificate\n") {
		t.Errorf("%+v", got)
	}
	r := startCommand(t, command(t, args...), "")
	if got := r.waitLog("host key"); got["certificate"] != host+"-cert.pub" {
		t.Error(got)
	}
}

// TestAuthorizer has no policy, and connections without a login.
func TestAuthorizer(t *testing.T) {
	a := &authorizer{}
	if g, err := a.Authorize(t.Context(), &transport.Attempt{User: "a"}); g != nil || err == nil {
		t.Errorf("without a policy: %+v, %v", g, err)
	}
	c := &loginConn{ServerConn: &transport.ServerConn{}}
	if l, ok := c.Login().(*execd.Login); !ok || l == nil || l.User != "" {
		t.Errorf("without a login: %+v", c.Login())
	}
}

// TestLoginCapabilities: what a decision grants is what the login may do. A new
// capability needs a line here, which says where the login has it.
func TestLoginCapabilities(t *testing.T) {
	fields := map[string]string{ // of execd.Login; empty: there is nothing yet that could be done with it
		"PTY": "PTY", "AgentForwarding": "", "PortForwarding": "", "X11Forwarding": "", "UserRC": "",
	}
	for capability := range reflect.TypeFor[authkeys.Capabilities]().Fields() {
		name, known := fields[capability.Name]
		if _, exists := reflect.TypeFor[execd.Login]().FieldByName(capability.Name); !known || exists && name == "" {
			t.Errorf("%s: is it carried to the login?", capability.Name)
		}
		if name == "" {
			continue
		}
		for _, granted := range []bool{true, false} {
			d := &authorize.Decision{Account: testAccount()}
			reflect.ValueOf(&d.Capabilities).Elem().FieldByName(capability.Name).SetBool(granted)
			l := newLogin(d, netip.AddrPort{}, netip.AddrPort{})
			if got := reflect.ValueOf(l).Elem().FieldByName(name).Bool(); got != granted {
				t.Errorf("%s %v: %v", capability.Name, granted, got)
			}
		}
	}
	for field := range reflect.TypeFor[execd.Login]().Fields() { // and of nothing a login has more than was granted
		l := newLogin(&authorize.Decision{Account: testAccount()}, netip.AddrPort{}, netip.AddrPort{})
		if field.Type.Kind() == reflect.Bool && reflect.ValueOf(l).Elem().FieldByIndex(field.Index).Bool() {
			t.Errorf("a decision that grants nothing grants %s", field.Name)
		}
	}
}

func TestLoginAttrs(t *testing.T) {
	command := "uptime"
	g := &granted{decision: &authorize.Decision{
		Account: testAccount(), Command: &command, Certificate: true, KeyID: "id\x1b[2J", Serial: 7, Authority: "SHA256:ca",
	}}
	got := fmt.Sprintf("%q", g.attrs("peer"))
	for _, want := range []string{`"certificate" "id\x1b[2J"`, `"serial" '\a'`, `"authority" "SHA256:ca"`, `"forced_command" "uptime"`, `"without" "pty,exact"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}
