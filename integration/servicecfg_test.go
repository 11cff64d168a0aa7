//go:build unix

package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// show is a service that says what it got, and what a client asked for.
const show = `
[[service]]
name = "show"
command = ["sh", "-c", 'echo "show <$SSH_ORIGINAL_COMMAND> $1"; cat', "sh", "a  b"]
`

// startServices starts a rexd with services on TCP.
func startServices(t testing.TB, services string) *network {
	t.Helper()
	n := newNetwork(t)
	n.serveServices(t, services)
	return n
}

// serveServices starts the daemon, and waits until its services listen.
func (n *network) serveServices(t testing.TB, services string) {
	t.Helper()
	n.daemon = startDaemonAt(t, "127.0.0.1:0", n.config()+services, n.flags()...)
	n.at = n.logged(t, `"listening","addr":"([^"]+)"`)
	n.knows(t, "host")
}

// service is where a service listens.
func (n *network) service(t testing.TB, name string) (addr string) {
	t.Helper()
	until(t, patience, name+" listens", func() bool {
		return strings.Contains(strings.Join(n.lines(), "\n"), `"service":"`+name+`","login"`)
	})
	return n.logged(t, `"listening","addr":"([^"]+)","service":"`+name+`"`)
}

// fingerprint is that of a key in the client's .ssh.
func (n *network) fingerprint(t testing.TB, key string) string {
	t.Helper()
	return strings.Fields(mustRun(t, "ssh-keygen", "-l", "-E", "sha256", "-f", n.ssh(key+".pub")))[1]
}

// asks is everything that a client can ask for, with what the service then
// finds in SSH_ORIGINAL_COMMAND.
func (n *network) asks(more ...string) map[string]struct {
	args []string
	want string
} {
	type ask = struct {
		args []string
		want string
	}
	return map[string]ask{
		"line":      {to(n.host(more...), "id;", "id"), "id; id"},
		"exact":     {append([]string{"exec"}, to(n.host(more...), "id", "a b")...), "id 'a b'"},
		"shell":     {to(n.host(append(more, "-T")...)), ""},
		"subsystem": {append([]string{"-s"}, to(n.host(more...), "sftp")...), "sftp"},
		"by name":   {append([]string{"service"}, to(n.host(more...), "show")...), "show"},
		"directory": {to(n.host(append(more, "--dir", "/")...), "id"), "id"},
	}
}

// boundTo demands that show is all that runs.
func (n *network) boundTo(t *testing.T, name string, more ...string) {
	t.Helper()
	for how, ask := range n.asks(more...) {
		got := rex(t, "in\n", ask.args...)
		if want := (result{stdout: "show <" + ask.want + "> a  b\nin\n"}); got != want {
			t.Errorf("%s, %s: %+v, want %q", name, how, got, want.stdout)
		}
	}
}

// TestServiceByName runs a service over the network.
func TestServiceByName(t *testing.T) {
	n := startServices(t, show+`
[[service]]
name = "others"
command = ["true"]
allow_users = ["somebody-else"]
`)
	for _, args := range [][]string{append([]string{"service"}, to(n.host(), "show")...), append([]string{"-s"}, to(n.host(), "show")...)} {
		if got := rex(t, "in\n", args...); got != (result{stdout: "show <> a  b\nin\n"}) {
			t.Errorf("%q: %+v", args[0], got)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"unknown":  {to(n.host(), "none"), []string{`no such subsystem: there is no service "none"`, "rex: hint: the services are in rexd.toml at the host"}},
		"others":   {to(n.host(), "others"), []string{`permission denied: the service "others" is not for "` + n.user, "allow_users"}},
		"terminal": {to(n.host("-tt"), "show"), []string{"has no terminal", "rex: hint: rex service -T "}},
		"words":    {to(n.host(), "show", "x"), []string{"a service takes no arguments", "rex: hint: rex service HOST NAME"}},
		"keep":     {to(n.host("--orphan", "keep"), "show"), []string{"--orphan keep is not for it"}},
	} {
		got := rex(t, "", append([]string{"service"}, c.args...)...)
		for _, want := range c.want {
			if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, want) {
				t.Errorf("%s: %q is not in %+v", name, want, got)
			}
		}
	}
	got := rex(t, "", append([]string{"service"}, to(n.host("--env", "A=1"), "show")...)...)
	if got.code != 0 || !strings.Contains(got.stderr, "does not pass on these variables: A ") {
		t.Errorf("variables: %+v", got)
	}
	// What the client asked for stands in the log, by whom, and why not.
	until(t, patience, "the refusal is logged", func() bool {
		return strings.Contains(strings.Join(n.lines(), "\n"), `"code":"no_subsystem","err":"there is no service \"none\""`)
	})
}

// TestServiceKeys: a key, a certificate and the configuration bind a login to a
// service, and it runs nothing else, whatever is asked for.
func TestServiceKeys(t *testing.T) {
	n := newNetwork(t)
	n.keygen(t, "ca", "-t", "ed25519")
	n.keygen(t, "configured", "-t", "ed25519")
	n.serveServices(t, strings.TrimSpace(show)+fmt.Sprintf("\nonly_keys = [%q]\n", n.fingerprint(t, "configured"))+`
[[service]]
name = "others"
command = ["true"]
allow_users = ["somebody-else"]
`)
	for _, options := range []string{"restrict,", ""} {
		n.authorize(t, options+`command="internal-service show" `+n.public(t, "id"))
		n.boundTo(t, "line, "+options)
	}
	if got := rex(t, "", to(n.host("-tt"), "id")...); got.code == 0 || !strings.Contains(got.stderr, "has no terminal") {
		t.Errorf("a terminal: %+v", got)
	}
	if got := rex(t, "", to(n.host("--orphan", "keep"), "id")...); got.code == 0 || !strings.Contains(got.stderr, "--orphan keep") {
		t.Errorf("keep: %+v", got)
	}

	mustRun(t, "ssh-keygen", "-q", "-s", n.ssh("ca"), "-I", "forced", "-n", n.user, "-O", "force-command=internal-service show", n.ssh("id.pub"))
	n.authorize(t, "cert-authority "+n.public(t, "ca"))
	n.boundTo(t, "certificate")
	n.authorize(t, `cert-authority,command="id" `+n.public(t, "ca"))
	n.denied(t, "a certificate and a line that differ", "different commands")
	if err := os.Remove(n.ssh("id-cert.pub")); err != nil {
		t.Fatal(err)
	}

	only := []string{"-oIdentitiesOnly=yes", "-i", n.ssh("configured")}
	n.authorize(t, n.public(t, "configured"))
	n.boundTo(t, "configuration", only...)
	n.authorize(t, `command="internal-service show" `+n.public(t, "configured"))
	n.boundTo(t, "configuration and line", only...)
	n.authorize(t, `command="id" `+n.public(t, "configured"))
	n.denied(t, "configuration and another command", "bound to the service", only...)
	mustRun(t, "ssh-keygen", "-q", "-s", n.ssh("ca"), "-I", "plain", "-n", n.user, n.ssh("configured.pub"))
	n.authorize(t, "cert-authority "+n.public(t, "ca"))
	n.boundTo(t, "a certificate of the configured key", only...)

	// A key of another command reaches no service, and one of none nothing.
	n.authorize(t, `restrict,command="echo forced $SSH_ORIGINAL_COMMAND" `+n.public(t, "id"))
	for _, verb := range []string{"service", "-s"} {
		if got := rex(t, "", append([]string{verb}, to(n.host(), "show")...)...); got != (result{stdout: "forced show\n"}) {
			t.Errorf("%s by a key with a command: %+v", verb, got)
		}
	}
	n.authorize(t, `command="internal-service none" `+n.public(t, "id"))
	for how, ask := range n.asks() {
		got := rex(t, "", ask.args...)
		if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, `this login runs the service "none" and nothing else`) || !strings.Contains(got.stderr, "rex: hint: ") {
			t.Errorf("no such service, %s: %+v", how, got)
		}
	}
	n.authorize(t, `command="internal-service others" `+n.public(t, "id"))
	if got := rex(t, "", to(n.host(), "id")...); got.code != 255 || !strings.Contains(got.stderr, "is not for") {
		t.Errorf("a line lets in whom the service does not: %+v", got)
	}
	n.authorize(t, `command="internal-service" `+n.public(t, "id"))
	n.denied(t, "no name", "is not internal-service NAME")
}

// denied demands that nobody gets in, and that the log says why.
func (n *network) denied(t *testing.T, name, reason string, more ...string) {
	t.Helper()
	for how, ask := range n.asks(more...) {
		if got := rex(t, "", ask.args...); got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, "permission denied") {
			t.Errorf("%s, %s: %+v", name, how, got)
		}
	}
	until(t, patience, "the reason is logged: "+reason, func() bool {
		return strings.Contains(strings.Join(n.lines(), "\n"), reason)
	})
}

// TestServiceLogin: at an address of a service everybody logs in, and runs it.
func TestServiceLogin(t *testing.T) {
	n := startServices(t, show+"listen = [\"127.0.0.1:0\"]\nlogin = true\n"+`
[[service]]
name = "other"
command = ["echo", "other"]
`)
	all := n.at
	if got := rex(t, "", append([]string{"service"}, to(n.host(), "other")...)...); got != (result{stdout: "other\n"}) {
		t.Errorf("beside it: %+v", got)
	}
	n.at = n.service(t, "show")
	n.knows(t, "host")
	n.boundTo(t, "login")
	if got := rex(t, "", append([]string{"service"}, to(n.host(), "other")...)...); got != (result{stdout: "show <other> a  b\n"}) {
		t.Errorf("another one: %+v", got)
	}
	n.authorize(t, `command="id" `+n.public(t, "id"))
	n.denied(t, "a key of another command", "bound to the service")
	n.authorize(t, "")
	n.denied(t, "no key", "login refused")
	n.at = all
	n.knows(t, "host")
	n.authorize(t, n.public(t, "id"))
	n.ask(t, "true")
}

// TestServiceAddresses: services on one port of several addresses, for clients
// that know nothing of rex, each as the user it names.
func TestServiceAddresses(t *testing.T) {
	if os.Geteuid() != 0 {
		needsRoot(t)
	}
	socket := filepath.Join(socketDir(t), "u")
	port := freePort(t)
	third := "127.0.1.3"
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { // not every container has IPv6
		_ = l.Close()
		third = "[::1]"
	}
	n := startServices(t, fmt.Sprintf(`
[[service]]
name = "upper"
command = ["tr", "a-z", "A-Z"]
user = "nobody"
listen = ["127.0.1.1:%[1]s", "%[3]s:%[1]s", "unix:%[2]s"]
mode = "0660"
group = "nogroup"

[[service]]
name = "who"
command = ["sh", "-c", "id -un; id -gn; id -Gn; pwd; env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e ^_ | sort | tr '\n' ' '"]
user = "nobody"
directory = "/"
listen = ["127.0.1.2:%[1]s"]
`, port, socket, third))
	n.service(t, "who")
	for _, addr := range []string{"127.0.1.1:" + port, third + ":" + port, "unix:" + socket} {
		if got := answerOf(t, addr, "hello"); got != "HELLO" {
			t.Errorf("%s: %q", addr, got)
		}
	}
	const who = "nobody\nnogroup\nnogroup\n/\nHOME LOGNAME MAIL PATH REMOTE_ADDR REMOTE_PORT REX_CONNECTION REX_SERVICE SHELL USER "
	if got := answerOf(t, "127.0.1.2:"+port, ""); got != who {
		t.Errorf("%q", got)
	}
	if got := rex(t, "", append([]string{"service"}, to(n.host(), "who")...)...); got != (result{stdout: who}) {
		t.Errorf("over a session: %+v", got)
	}
	info := mustRun(t, "stat", "-c", "%a %G", socket)
	if info != "660 nogroup\n" {
		t.Errorf("the socket: %s", info)
	}
}

// needsRoot skips, but not in CI, whose tests run as root.
func needsRoot(t testing.TB) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI runs as root")
	}
	t.Skip("needs root")
}

// freePort is a port that nobody has at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// answerOf is the answer of a service to a client that knows TCP and Unix sockets.
func answerOf(t testing.TB, addr, input string) string {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, input); err != nil {
		t.Error(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	out, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%s: %v", addr, err)
	}
	return string(out)
}

// TestServiceOfRootRefused: root's rexd wants to know who runs what everybody
// can start.
func TestServiceOfRootRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		needsRoot(t)
	}
	file := filepath.Join(t.TempDir(), "rexd.toml")
	config := "[[service]]\nname = 'a'\ncommand = ['id']\nlisten = ['127.0.0.1:0']\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program(t, "rexd"), "--config", file).CombinedOutput()
	if exitCode(t, err) != 2 || !strings.Contains(string(out), `:4: listen: nobody logs in at "127.0.0.1:0"`) || !strings.Contains(string(out), `rexd: hint: user = "nobody"`) {
		t.Errorf("%v: %s", err, out)
	}
}
