//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A serviceDaemon is a rexd with services, of which one may listen at plain.
type serviceDaemon struct {
	*running
	config, plain string
}

// runsAs is the user that services of these tests name, since root's rexd must
// be told.
func runsAs() string {
	if os.Geteuid() == 0 {
		return "user = 'root'\n"
	}
	return ""
}

// write writes the configuration. PLAIN in it is the socket of a service.
func (d *serviceDaemon) write(services string) {
	d.t.Helper()
	text := fmt.Sprintf("listen = ['unix:%s']\n", d.path) + strings.ReplaceAll(services, "PLAIN", "unix:"+d.plain)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func startServices(t *testing.T, services string) *serviceDaemon {
	t.Helper()
	d := &serviceDaemon{config: writeConfig(t, ""), plain: socketPath(t), running: &running{t: t, path: socketPath(t)}}
	d.write(services)
	d.running = startCommand(t, command(t, "--config", d.config), d.path)
	return d
}

// reload has rexd read another configuration.
func (d *serviceDaemon) reload(services string) {
	d.t.Helper()
	d.write(services)
	d.forget()
	d.signal(syscall.SIGHUP)
	d.waitLog("configuration reloaded")
}

// connect is a plain connection to the service.
func (d *serviceDaemon) connect() *net.UnixConn {
	d.t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: d.plain, Net: "unix"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// connectReady is a connection whose program has said that it is ready.
func (d *serviceDaemon) connectReady() *net.UnixConn {
	d.t.Helper()
	const prompt = "ready\n"
	c, got := d.connect(), make([]byte, len(prompt))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != prompt {
		d.t.Fatalf("%q, %v", got, err)
	}
	return c
}

// ask sends all of the input and returns the answer.
func ask(c *net.UnixConn, input string) (string, error) {
	if _, err := io.WriteString(c, input); err != nil {
		return "", err
	}
	if err := c.CloseWrite(); err != nil {
		return "", err
	}
	out, err := io.ReadAll(c)
	return string(out), err
}

// run runs a service over a session.
func (d *serviceDaemon) runService(name, input string) (string, error) {
	cmd := d.dial().Service(name)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	return string(out), err
}

func upper(more string) string {
	return "[[service]]\nname = 'upper'\ncommand = ['tr', 'a-z', 'A-Z']\n" + runsAs() + more
}

// prompting is a service that says when it is ready.
func prompting(filter string) string {
	return "[[service]]\nname = 'upper'\ncommand = ['sh', '-c', 'echo ready; exec " + filter + "']\n" + runsAs() + "listen = ['PLAIN']\n"
}

// A service is reached by both ways; one without an address by its name alone.
func TestServices(t *testing.T) {
	d := startServices(t, upper("listen = ['PLAIN']\nmode = '0600'\n")+`
[[service]]
name = 'env'
command = ['sh', '-c', 'echo "$A $REX_SERVICE"; pwd; exit 3']
directory = '/usr'
environment = { A = 'a  b' }
`)
	if out, err := ask(d.connect(), "plain"); out != "PLAIN" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := d.runService("upper", "session"); out != "SESSION" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	out, err := d.runService("env", "")
	if exit, ok := errors.AsType[*session.ExitError](err); out != "a  b env\n/usr\n" || !ok || exit.ExitCode() != 3 {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := d.runService("none", ""); !errors.Is(err, proto.CodeNoSubsystem) {
		t.Errorf("no such service: %v", err)
	}
	if info, err := os.Stat(d.plain); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	d.stop()
	if code := d.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Lstat(d.plain); err == nil {
		t.Error("the socket was left")
	}
}

// Connections and sessions take the same places.
func TestServicesPlaces(t *testing.T) {
	d := startServices(t, prompting("tr a-z A-Z")+"max_instances = 1\n")
	busy := func(name string) {
		t.Helper()
		if _, err := d.runService("upper", ""); !errors.Is(err, proto.CodeBusy) {
			t.Errorf("%s: a session: %v", name, err)
		}
		if out, err := io.ReadAll(d.connect()); len(out) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: a connection: %q, %v", name, out, err)
		}
	}
	free := func() {
		t.Helper()
		for end := time.Now().Add(patience); ; {
			out, err := d.runService("upper", "x")
			if err == nil && out == "ready\nX" {
				return
			}
			if !errors.Is(err, proto.CodeBusy) || time.Now().After(end) {
				t.Fatalf("it is not free again: %q, %v", out, err)
			}
		}
	}
	cmd := d.dial().Service("upper")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	busy("beside a session")
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	free()
	c := d.connectReady()
	busy("beside a connection")
	if out, err := ask(c, "y"); out != "Y" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	free()
}

// What still comes for a service that is gone is closed.
func TestCatalogGone(t *testing.T) {
	c := &catalog{log: slog.New(slog.DiscardHandler)}
	c.set([]resolved{{settings: serviceSettings{name: "a"}}})
	r := c.relayOf("a")
	if _, ok := c.find("a"); !ok || r == nil {
		t.Fatal("it is not there")
	}
	if gone := c.set(nil); fmt.Sprint(gone) != "[a]" {
		t.Errorf("gone: %v", gone)
	}
	if _, ok := c.find("a"); ok || c.relayOf("a") != nil {
		t.Error("it is still there")
	}
	ours, theirs := net.Pipe()
	if r.generation().inlet.put(ours) {
		t.Error("its server still gets connections")
	}
	_ = theirs.SetDeadline(time.Now().Add(patience))
	r.take(ours)
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
	if err := c.all().shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A reload changes what comes from then on, and cuts nobody off.
func TestServicesReload(t *testing.T) {
	d := startServices(t, prompting("tr a-z A-Z"))
	before := d.connectReady()
	other := d.dial().Service("upper")
	in, _ := other.StdinPipe()
	out, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}

	lower := prompting(`sed "s/^/new /"`)
	d.reload(lower + "[[service]]\nname = 'added'\ncommand = ['cat']\n")
	if out, err := ask(d.connectReady(), "after"); out != "new after" || err != nil {
		t.Errorf("after: %q, %v", out, err)
	}
	if out, err := d.runService("added", "in"); out != "in" || err != nil {
		t.Errorf("added: %q, %v", out, err)
	}
	if out, err := ask(before, "before"); out != "BEFORE" || err != nil {
		t.Errorf("before: %q, %v", out, err)
	}
	_, _ = io.WriteString(in, "ab")
	_ = in.Close()
	if all, err := io.ReadAll(out); string(all) != "ready\nAB" || err != nil {
		t.Errorf("a session before: %q, %v", all, err)
	}
	if err := other.Wait(); err != nil {
		t.Error(err)
	}

	elsewhere := filepath.Join(filepath.Dir(d.plain), "elsewhere")
	d.reload(strings.ReplaceAll(lower, "PLAIN", "unix:"+elsewhere))
	if record := d.logged("where a service listens counts from the next start on only"); record["service"] != "upper" {
		t.Errorf("record %v", record)
	}
	if out, err := ask(d.connectReady(), "still"); out != "new still" || err != nil {
		t.Errorf("the old address: %q, %v", out, err)
	}

	last := d.connectReady()
	d.reload("")
	if record := d.waitLog("not listening any more"); record["service"] != "upper" || record["addr"] != "unix:"+d.plain {
		t.Errorf("record %v", record)
	}
	if _, err := net.Dial("unix", d.plain); err == nil {
		t.Error("a service that is gone still listens")
	}
	if _, err := d.runService("upper", ""); !errors.Is(err, proto.CodeNoSubsystem) {
		t.Errorf("gone: %v", err)
	}
	if out, err := ask(last, "last"); out != "new last" || err != nil {
		t.Errorf("the last one: %q, %v", out, err)
	}
	d.signal(syscall.SIGTERM)
	if code := d.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// A mistake in a service changes nothing.
func TestServicesReloadBad(t *testing.T) {
	d := startServices(t, upper(""))
	d.write(upper("user = 'x'\nusr = 'no'\n"))
	d.forget()
	d.signal(syscall.SIGHUP)
	d.waitLog("configuration not reloaded, the old one stays")
	if out, err := d.runService("upper", "x"); out != "X" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// Where a service listens stays until the next start, and so does the rule that
// somebody must be named who runs what is reached there.
func TestServicesReloadWithoutUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("about root's rexd")
	}
	d := startServices(t, upper("listen = ['PLAIN']\n"))
	d.write("[[service]]\nname = 'upper'\ncommand = ['id']\n")
	d.forget()
	d.signal(syscall.SIGHUP)
	record := d.waitLog("configuration not reloaded, the old one stays")
	if !strings.Contains(fmt.Sprint(record["err"]), "so it must be said who runs the program") {
		t.Errorf("record %v", record)
	}
	if out, err := ask(d.connect(), "x"); out != "X" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// An address that cannot be had keeps rexd from starting, and the hint is about
// the configuration.
func TestServicesAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := writeConfig(t, upper(fmt.Sprintf("listen = ['unix:%s', '%s']\n", socketPath(t), l.Addr())))
	got := runToEnd(t, command(t, "--config", name))
	if got.code != exitError || !strings.Contains(got.stderr, "rexd: error: service upper: listen tcp "+l.Addr().String()) ||
		!strings.Contains(got.stderr, "or give the service another port\n") {
		t.Errorf("%+v", got)
	}
}

// The flags of rexd are no help for an address that the configuration names.
func TestServiceAddressHints(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	key, err := auth.CreateHostKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: slog.New(slog.DiscardHandler), program: &program{}}
	for _, tt := range []struct {
		where endpoints
		addr  string
		code  int
		want  string
	}{
		{endpoints{}, "192.0.2.1:99", exitUsage, `listen = ["127.0.0.1:99"] keeps it to this host; ` + hintPublic},
		{endpoints{}, "a..b:1", exitError, `name an address of this host: listen = ["127.0.0.1:9999"]`},
		{endpoints{public: true}, "a..b:1", exitError, `name an address of this host: listen = ["127.0.0.1:9999"]`},
		{endpoints{public: true}, "192.0.2.1:0", exitError, "this host does not have that address: ip address lists those it has"},
		{endpoints{login: true}, "192.0.2.1:0", exitError, "this host does not have that address: ip address lists those it has"},
		{endpoints{}, taken.Addr().String(), exitError, "stop what listens there (ss -ltnp shows it), or give the service another port"},
		{endpoints{login: true}, taken.Addr().String(), exitError, "stop what listens there (ss -ltnp shows it), or give the service another port"},
	} {
		r := &resolved{settings: serviceSettings{name: "up", endpoints: tt.where}}
		_, err := d.listenService(r, address{tcp: tt.addr}, []*auth.HostKey{key})
		if err == nil || !strings.HasPrefix(err.Error(), "service up: ") || hintFor(err) != tt.want || exitCode(err) != tt.code {
			t.Errorf("%s, %+v: %v, hint %q, status %d", tt.addr, tt.where, err, hintFor(err), exitCode(err))
		}
	}
}

// Who may come by which way is not the same.
func TestDescribeService(t *testing.T) {
	one := parseServices(t, onTwo+"allow_users = ['al']\nlogin = true\n").services[0]
	if got, want := one.describe(), "up runs cat as whoever asks; by name for al; on 127.0.0.1:1, 127.0.0.2:1 for those of them who log in there"; got != want {
		t.Errorf("with a login: %q\nwant %q", got, want)
	}
	one = parseServices(t, onTwo).services[0]
	if got, want := one.describe(), "up runs cat as whoever asks; by name for everybody who may log in; on 127.0.0.1:1, 127.0.0.2:1 for everybody who reaches it"; got != want {
		t.Errorf("plain: %q\nwant %q", got, want)
	}
}

const onTwo = "[[service]]\nname = 'up'\ncommand = ['cat']\nlisten = ['127.0.0.1:1', '127.0.0.2:1']\n"

// --check has a line for each service, and finds what they name in vain.
func TestServicesCheck(t *testing.T) {
	name := writeConfig(t, upper("listen = ['127.0.0.1:9999']\nallow_users = ['al']\nallow_groups = ['root']\nonly_keys = ['"+fingerprint+"']\n")+
		"[[service]]\nname = 'in'\ncommand = ['sh', '-c', 'a b']\n"+
		"[[service]]\nname = 'log'\ncommand = ['cat']\nallow_users = ['al']\n")
	got := runToEnd(t, command(t, "--check", "--config", name))
	user := "whoever asks"
	if runsAs() != "" {
		user = "root"
	}
	for _, want := range []string{
		"service:      upper runs tr a-z A-Z as " + user + "; by name for al, @root; on 127.0.0.1:9999 for everybody who reaches it; keys bound to it: 1\n",
		"service:      in runs sh -c 'a b' as whoever asks; by name for everybody who may log in\n",
		"service:      log runs cat as whoever asks; by name for al\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s%s", want, got.stdout, got.stderr)
		}
	}
	if got.code != exitOK {
		t.Errorf("%+v", got)
	}
	name = writeConfig(t, upper("allow_groups = ['no-such-group']\nlisten = ['unix:/nonexistent/s']\n"))
	got = runToEnd(t, command(t, "--check", "--config", name))
	for _, want := range []string{`allow_groups: there is no group "no-such-group"`, "rexd: hint: getent group\n", "rexd: hint: mkdir -p -m 700 /nonexistent\n"} {
		if got.code != exitError || !strings.Contains(got.stderr, want) {
			t.Errorf("%q is not in\n%s", want, got.stderr)
		}
	}
}
