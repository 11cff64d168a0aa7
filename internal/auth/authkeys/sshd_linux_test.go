package authkeys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// stricter is where sshd lets in and rex does not: what a reason contains, and
// why it is so. Each is met at least once.
func stricter() map[string]string {
	return map[string]string{
		"has the same key and is not accepted": "an earlier line with the key is not understood; sshd may have taken that one",
		"bytes exceeds":                        "lines are at most 8 KiB",
		"a NUL byte":                           "to sshd it is the end of the line",
		"bad key: ":                            "sshd takes white space inside the digits",
		"ssh-rsa key: ":                        "sshd takes RSA keys of 1024 bits",
		"expiry-time: given twice":             "sshd takes the earliest",
		"expiry-time: not YYYY":                "sshd takes z, UTC, blanks, second 60, and 30 February for 2 March",
		"tunnel: given twice":                  "sshd takes the last",
		"tunnel: bad device":                   "sshd takes a sign and blanks",
		"environment: not NAME=value":          "sshd takes a name that starts with a digit",
		"principals: an empty name":            "sshd ignores it and all names behind",
		"principals: 41 names":                 "sshd ignores all names behind the 40th",
		"permitopen: ":                         "sshd takes an empty host, a / for the colon, names of services, signs and blanks",
		"permitlisten: ":                       "as permitopen",
		"from: bad address":                    "sshd takes what inet_aton does, zeros in front of a mask, a / in a name",
		`from: "!::ffff:`:                      "rex takes the IPv6 form of an IPv4 address for what it is, when it denies",
		"names are not looked up":              "rex looks up no names, so a negated one denies",
	}
}

// effect is what somebody who is let in gets.
type effect struct {
	output  string // of what ran, in front of the "--"
	forced  bool   // it was not what the client asked for
	pty     bool
	agent   bool
	forward bool
	env     map[string]string // of names that begin with T
}

// report ends a command: what it got, for effect.
const report = `echo --; test -t 0 && echo tty; env`

// expected is the effect of options.
func expected(t *testing.T, o *Options) effect {
	e := effect{output: "own\n", pty: o.PTY, agent: o.AgentForwarding, forward: o.PortForwarding && o.PermitOpen == nil}
	if o.Command != nil {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", *o.Command).Output()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
		e.output, _, _ = strings.Cut(string(out), "--\n")
		e.forced = true
	}
	if o.Command == nil || strings.HasSuffix(*o.Command, report) {
		e.env = make(map[string]string)
		for _, v := range o.Environment {
			if name, value, _ := strings.Cut(v, "="); name[0] == 'T' {
				e.env[name] = value
			}
		}
	}
	return e
}

// A daemon runs sshd -i, one for each connection.
type daemon struct {
	program, config, keys string

	mu       sync.Mutex // between connect and accept
	listener net.Listener
	running  sync.WaitGroup
}

func startDaemon(t *testing.T, address string) *daemon {
	program, err := exec.LookPath("/usr/sbin/sshd")
	missing := ""
	switch {
	case err != nil:
		missing = "needs sshd"
	case os.Geteuid() != 0:
		missing = "needs root"
	}
	if missing != "" && os.Getenv("CI") != "" {
		t.Fatal(missing)
	} else if missing != "" {
		t.Skip(missing)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := &daemon{program: program, config: filepath.Join(dir, "config"), keys: filepath.Join(dir, "keys")}
	_, host, _ := ed25519.GenerateKey(rand.Reader)
	block, err := ssh.MarshalPrivateKey(host, "")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "host"), pem.EncodeToMemory(block))
	writeFile(t, d.config, fmt.Appendf(nil, "HostKey %s/host\nAuthorizedKeysFile %s\nUsePAM no\nStrictModes no\nUseDNS no\n"+
		"PermitUserEnvironment yes\nPermitRootLogin yes\nLogLevel VERBOSE\nMaxAuthTries 100000\nPrintMotd no\n"+
		"PrintLastLog no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"+
		"SetEnv SHLVL=5\n", // lest bash reads the .bashrc of whoever runs this
		dir, d.keys))
	if d.listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.listener.Close()
		d.running.Wait()
	})
	return d
}

func writeFile(t *testing.T, path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial connects to a new sshd. Whoever closes the connection ends it.
func (d *daemon) dial(ctx context.Context, source string) (net.Conn, *bytes.Buffer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	client, err := dialer.DialContext(ctx, "tcp", d.listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	server, err := d.listener.Accept()
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	defer server.Close()
	file, err := server.(*net.TCPConn).File()
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	defer file.Close()
	log := new(bytes.Buffer)
	cmd := exec.CommandContext(ctx, d.program, "-i", "-e", "-f", d.config)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = file, file, log, 10*time.Second
	if err := cmd.Start(); err != nil {
		client.Close()
		return nil, nil, err
	}
	d.running.Go(func() { _ = cmd.Wait() })
	return client, log, nil
}

func (d *daemon) login(ctx context.Context, source string, keys ...ssh.Signer) (*ssh.Client, error) {
	conn, _, err := d.dial(ctx, source)
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// use logs in and sees what it gets. It returns nil if sshd refuses the key.
func (d *daemon) use(ctx context.Context, source string, key ssh.Signer) (*effect, error) {
	client, err := d.login(ctx, source, key)
	if err != nil && strings.Contains(err.Error(), "unable to authenticate") {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	e := &effect{}
	e.pty = session.RequestPty("xterm", 24, 80, nil) == nil
	if e.agent, err = session.SendRequest("auth-agent-req@openssh.com", true, nil); err != nil {
		return nil, err
	}
	_, err = client.DialContext(ctx, "tcp", "127.0.0.1:1")
	refused := (*ssh.OpenChannelError)(nil)
	e.forward = !errors.As(err, &refused) || refused.Reason != ssh.Prohibited
	out, err := session.Output("echo own; " + report)
	if exit := (*ssh.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return e, e.read(strings.ReplaceAll(string(out), "\r\n", "\n"))
}

// read takes apart what a command with report at its end wrote.
func (e *effect) read(out string) error {
	var rest string
	var reported bool
	if e.output, rest, reported = strings.Cut(out, "--\n"); !reported {
		e.forced = true
		return nil
	}
	e.env = make(map[string]string)
	tty := false
	for line := range strings.SplitSeq(rest, "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case line == "tty":
			tty = true
		case name == "SSH_ORIGINAL_COMMAND":
			e.forced = true
		case strings.HasPrefix(name, "T") && name != "TERM" && name != "TZ":
			e.env[name] = value
		}
	}
	if tty != e.pty {
		return fmt.Errorf("a pty is granted: %v, and there: %v", e.pty, tty)
	}
	return nil
}

// errFound ends a login before it has succeeded.
var errFound = errors.New("sshd accepts the key")

// A probe is a key that notes whether it is accepted, and does not sign.
type probe struct {
	ssh.Signer
	found *int
	n     int
}

func (p probe) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return p.SignWithAlgorithm(r, data, "")
}

// SignWithAlgorithm makes RSA keys be offered for SHA-2.
func (p probe) SignWithAlgorithm(io.Reader, []byte, string) (*ssh.Signature, error) {
	*p.found = p.n
	return nil, errFound
}

// accepted is which of many keys sshd accepts: those that nobody shall have
// cost one connection.
func (d *daemon) accepted(ctx context.Context, source string, keys []ssh.Signer) (list []int, err error) {
	for next := 0; next < len(keys); {
		found := -1
		var probes []ssh.Signer
		for n := next; n < len(keys); n++ {
			probes = append(probes, probe{keys[n], &found, n})
		}
		client, err := d.login(ctx, source, probes...)
		switch {
		case err == nil:
			client.Close()
			return nil, errors.New("a login without a signature")
		case found < 0 && strings.Contains(err.Error(), "unable to authenticate"):
			return list, nil
		case found < 0:
			return nil, err
		}
		list = append(list, found)
		next = found + 1
	}
	return list, nil
}

// A question is what is asked of both: a key, and the lines for it.
type question struct {
	lines      string // with a newline at their end
	signer     ssh.Signer
	key        *auth.Key
	principals []string // of a certificate

	first, last int // lines in the file
}

// An answer is rex's.
type answer struct {
	entry   *Entry
	reasons []string
}

// ask looks a key up as the daemon does.
func (q *question) ask(entries []Entry, problems []Problem, source string) (a answer) {
	addr := netip.MustParseAddr(source)
	for e, err := range All(entries, q.key, addr, time.Now()) {
		switch {
		case err != nil:
			a.reasons = append(a.reasons, err.Error())
			continue
		case q.principals != nil && !allowed(q.principals, e.Options.Principals):
			continue
		}
		a.entry = e
		break
	}
	if found, _ := find(entries, q.key, addr, time.Now()); q.principals == nil && found != a.entry {
		panic("Find and All differ")
	}
	for _, p := range problems {
		if q.first <= p.Line && p.Line <= q.last {
			a.reasons = append(a.reasons, p.Reason)
		}
	}
	return a
}

// allowed is how principals= is to be read.
func allowed(certified, option []string) bool {
	if option == nil {
		option = []string{"root"}
	}
	return slices.ContainsFunc(certified, func(p string) bool { return slices.Contains(option, p) })
}

// A comparison is of many questions.
type comparison struct {
	*testing.T
	mu                        sync.Mutex
	met                       map[string]int // of stricter
	both, none, onlySSHD, all int
}

// TestSSHD compares with sshd: whom rex lets in, sshd does too, and with the
// same forced command, terminal, forwarding and environment.
func TestSSHD(t *testing.T) {
	c := &comparison{T: t, met: make(map[string]int)}
	rounds := 4
	switch {
	case testing.Short():
		rounds = 1
	case os.Getenv("REX_SLOW") != "":
		rounds = 60
	}
	start := time.Now()
	c.file(startDaemon(t, "127.0.0.1:0"), "127.0.0.1", selected(t))
	d := startDaemon(t, "127.0.0.1:0")
	for n := range rounds {
		source := []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"}[n%3]
		c.file(d, source, generated(t, uint64(n), 60))
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		c.file(startDaemon(t, "[::1]:0"), "::1", generated(t, 99, 30))
	}
	for contains := range stricter() {
		if c.met[contains] == 0 {
			t.Errorf("nothing is stricter by %q", contains)
		}
	}
	if c.both < c.all/4 || c.none < c.all/4 {
		t.Error("one-sided questions")
	}
	t.Logf("%d keys in %s: %d let in by both, %d by none, %d by sshd alone", c.all, time.Since(start), c.both, c.none, c.onlySSHD)
}

// file asks questions whose lines are in one file.
func (c *comparison) file(d *daemon, source string, questions []*question) {
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Minute)
	defer cancel()
	var file strings.Builder
	lines := 0
	for _, q := range questions {
		q.first = lines + 1
		lines += strings.Count(q.lines, "\n")
		q.last = lines
		file.WriteString(q.lines)
	}
	writeFile(c.T, d.keys, []byte(file.String()))
	entries, problems := Parse([]byte(file.String()))
	var refused []*question
	var logins sync.WaitGroup
	limit := make(chan struct{}, runtime.NumCPU()+1)
	for _, q := range questions {
		a := q.ask(entries, problems, source)
		if a.entry == nil {
			refused = append(refused, q)
			continue
		}
		logins.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			c.letIn(ctx, d, source, q, a.entry)
		})
	}
	c.notLetIn(ctx, d, source, refused, func(q *question) []string { return q.ask(entries, problems, source).reasons })
	logins.Wait()
}

// letIn checks a login that rex allows.
func (c *comparison) letIn(ctx context.Context, d *daemon, source string, q *question, entry *Entry) {
	got, err := d.use(ctx, source, q.signer)
	want := expected(c.T, &entry.Options)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all++
	switch {
	case err != nil:
		c.Errorf("%s: %v", q.lines, err)
	case got == nil:
		c.Errorf("looser: sshd does not let in from %s by\n%s", source, q.lines)
	default:
		c.both++
		if entry.Options.PermitOpen != nil {
			got.forward = false // to where is for permitopen to say
		}
		if got.output != want.output || got.forced != want.forced || got.pty != want.pty || got.agent != want.agent ||
			got.forward != want.forward || !maps.Equal(got.env, want.env) {
			c.Errorf("sshd gives %+v\n rex gives %+v\nfrom %s by\n%s", *got, want, source, q.lines)
		}
	}
}

// notLetIn checks logins that rex refuses.
func (c *comparison) notLetIn(ctx context.Context, d *daemon, source string, list []*question, why func(*question) []string) {
	var keys []ssh.Signer
	for _, q := range list {
		keys = append(keys, q.signer)
	}
	accepted, err := d.accepted(ctx, source, keys)
	if err != nil {
		c.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all += len(list)
	c.none += len(list) - len(accepted)
	c.onlySSHD += len(accepted)
	for _, n := range accepted {
		reasons := strings.Join(why(list[n]), "; ")
		known := false
		for contains := range stricter() {
			if strings.Contains(reasons, contains) {
				c.met[contains]++
				known = true
			}
		}
		if !known {
			c.Errorf("stricter without being listed: %s: from %s by\n%s", reasons, source, list[n].lines)
		}
	}
}
