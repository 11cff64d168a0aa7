//go:build linux || darwin || freebsd

package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
	"github.com/rexec/rex/session/sessiontest"
)

// A network is a home directory and a server that is known there.
type network struct {
	t    *testing.T
	home string
	port int
	key  *auth.HostKey
	env  map[string]string
	web1 *sessiontest.Host // instead of TCP, see onTestNetwork
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	ran  atomic.Int32 // commands

	mu      sync.Mutex
	allowed []*auth.Key
}

func newNetwork(t *testing.T) *network {
	n := &network{t: t, home: t.TempDir(), env: map[string]string{}}
	n.env["HOME"] = n.home
	n.key = n.newKey(filepath.Join(t.TempDir(), "host"))
	l, err := transport.ListenTCP(t.Context(), "127.0.0.1:0", &transport.TCPListenOptions{HostKeys: []*auth.HostKey{n.key}, Authorizer: n})
	if err != nil {
		t.Fatal(err)
	}
	n.port = l.Addr().(*net.TCPAddr).Port
	handler, err := execd.New(execd.Options{Mode: "group", Shell: "/bin/sh", Home: n.home})
	if err != nil {
		t.Fatal(err)
	}
	srv := &session.Server{Handler: countingHandler{handler, &n.ran}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	n.know(n.key.Key())
	return n
}

// onTestNetwork has rex dial on a network with one other host.
func (n *network) onTestNetwork() {
	hosts := sessiontest.NewNetwork(n.t)
	n.web1 = hosts.Host("web1")
	n.dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
		return hosts.Host("laptop").Dial(ctx, addr)
	}
}

// serve has web1 talk to whoever connects to a port of its own, which it returns.
func (n *network) serve(talk func(net.Conn)) sessiontest.Addr {
	n.t.Helper()
	l, err := n.web1.Listen(n.t.Context(), 0)
	if err != nil {
		n.t.Fatal(err)
	}
	listentest.Serve(n.t, l, talk)
	return l.Addr().(sessiontest.Addr)
}

type countingHandler struct {
	session.Handler
	count *atomic.Int32
}

func (h countingHandler) Start(ctx context.Context, r *session.Request) (session.Process, error) {
	h.count.Add(1)
	return h.Handler.Start(ctx, r)
}

func (n *network) Authorize(_ context.Context, a *transport.Attempt) (*transport.Grant, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.allowed {
		if k.Equal(a.Key) {
			return &transport.Grant{}, nil
		}
	}
	return nil, errors.New("not allowed")
}

func (n *network) allow(keys ...*auth.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.allowed = keys
}

func (n *network) newKey(path string) *auth.HostKey {
	n.t.Helper()
	key, err := auth.CreateHostKey(path)
	if err != nil {
		n.t.Fatal(err)
	}
	return key
}

func (n *network) path(name string) string { return filepath.Join(n.home, ".ssh", name) }

// identity makes a key of the user.
func (n *network) identity(name string) *auth.Key { return n.newKey(n.path(name)).Key() }

// know makes this the server's only known key.
func (n *network) know(key *auth.Key) {
	n.t.Helper()
	os.Remove(n.path("known_hosts"))
	if err := knownhosts.Add(n.path("known_hosts"), "127.0.0.1", n.port, key, false); err != nil {
		n.t.Fatal(err)
	}
}

// rex runs a command line, never asking, with empty standard input.
func (n *network) rex(args ...string) (status int, stdout, stderr string) {
	n.t.Helper()
	return n.rexWith("", args...)
}

func (n *network) rexWith(stdin string, args ...string) (status int, stdout, stderr string) {
	n.t.Helper()
	dir := n.t.TempDir()
	os.WriteFile(dir+"/in", []byte(stdin), 0o600)
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			n.t.Fatal(err)
		}
		return f // not closed: what is left of the run may still look at it
	}
	global := []string{"rex", "-oBatchMode=yes", "-oGlobalKnownHostsFile=none"}
	if n.dial == nil && !strings.Contains(strings.Join(args, " "), "127.0.0.1:") {
		global = append(global, "-p", strconv.Itoa(n.port))
	}
	status = Main(Env{
		Args: append(global, args...), Stdin: open("in"), Stdout: open("out"), Stderr: open("err"),
		Getenv: func(name string) string { return n.env[name] }, Environ: func() []string { return nil },
		Dial: n.dial,
	})
	out, _ := os.ReadFile(dir + "/out")
	text, _ := os.ReadFile(dir + "/err")
	return status, string(out), string(text)
}

// fails runs a command line that rex itself cannot carry out, and checks the
// error and the hint.
func (n *network) fails(what, msg, hint string, args ...string) {
	n.t.Helper()
	status, stdout, stderr := n.rex(args...)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if status != 255 || stdout != "" || len(lines) < 2 {
		n.t.Errorf("%s: %d %q\n%s", what, status, stdout, stderr)
		return
	}
	last, first := lines[len(lines)-1], lines[len(lines)-2]
	last = strings.Replace(last, " -o BatchMode=yes -o GlobalKnownHostsFile=none", "", 1) // rexWith's own
	if !strings.HasPrefix(first, "rex: error: ") || !strings.Contains(first, msg) || !strings.HasPrefix(last, "rex: hint: ") || !strings.Contains(last, hint) {
		n.t.Errorf("%s: want %q and %q, got\n%s", what, msg, hint, stderr)
	}
	if strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		n.t.Errorf("%s: raw: %q", what, stderr)
	}
}

func TestNetwork(t *testing.T) {
	n := newNetwork(t)
	n.allow(n.identity("id_ed25519"))
	status, stdout, stderr := n.rexWith("in\n", "127.0.0.1", "cat; echo err >&2; exit 7")
	if status != 7 || stdout != "in\n" || stderr != "err\n" {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	status, stdout, stderr = n.rex("-v", fmt.Sprintf("ssh://bob@127.0.0.1:%d", n.port), "echo hi")
	if status != 0 || stdout != "hi\n" {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	last := 0
	for _, step := range []string{"connected in", "encrypted in", "host key checked in", "signed in", "login sent in", "login accepted after", " started", "first byte", "exited, code 0"} {
		at := strings.Index(stderr, step)
		if at < last {
			t.Errorf("%q is missing or too early in\n%s", step, stderr)
		}
		last = max(at, last)
	}
	if strings.Contains(stderr, " took ") || !strings.Contains(stderr, fmt.Sprintf("connecting to bob@127.0.0.1:%d\n", n.port)) {
		t.Errorf("words of packages, or no port:\n%s", stderr)
	}
	_, _, stderr = n.rex("-vv", "127.0.0.1", "true")
	if !regexp.MustCompile(`(?m)^rex: debug: +[0-9.]+ ms  key from=.* fingerprint=SHA256:`).MatchString(stderr) || strings.Contains(stderr, "level=") {
		t.Errorf("no keys, or the form of a log, in\n%s", stderr)
	}
}

// Keys and hosts by options, with ~ and tokens.
func TestNetworkOptions(t *testing.T) {
	n := newNetwork(t)
	n.allow(n.identity("work-127.0.0.1"))
	os.Rename(n.path("known_hosts"), n.path("hosts"))
	ok := []string{"-oUserKnownHostsFile=~/.ssh/none ~/.ssh/hosts", "-i", "~/.ssh/work-%h"}
	for _, args := range [][]string{
		ok,
		{ok[0], "-oIdentityFile=%d/.ssh/work-%n"},
		{"-oUserKnownHostsFile=none", "-oGlobalKnownHostsFile=~/.ssh/hosts", ok[1], ok[2], "-oStrictHostKeyChecking=no"},
		{"-oUserKnownHostsFile=~/.ssh/new", "-oStrictHostKeyChecking=accept-new", "-oHashKnownHosts=yes", ok[1], ok[2]},
		{"-oUserKnownHostsFile=~/.ssh/new", "-oStrictHostKeyChecking=yes", ok[1], ok[2], "-4", "-b", "127.0.0.1"},
		{"-oUserKnownHostsFile=~/.ssh/alias", "-oHostKeyAlias=web", "-oStrictHostKeyChecking=accept-new", ok[1], ok[2]},
		{"-oUserKnownHostsFile=~/.ssh/alias", "-oHostKeyAlias=WEB", "-oStrictHostKeyChecking=yes", ok[1], ok[2]},
		{ok[0], ok[1], ok[2], "-oIdentityAgent=$NOTHING", "-oIdentitiesOnly=yes", "-oAddressFamily=inet"},
	} {
		if status, _, stderr := n.rex(append(args, "127.0.0.1", "true")...); status != 0 {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	if data, _ := os.ReadFile(n.path("new")); !strings.HasPrefix(string(data), "|1|") {
		t.Errorf("not hashed: %q", data)
	}
	for _, c := range []struct{ option, want string }{
		{"-oIdentityFile=%x", "unknown token %x"},
		{"-oIdentityFile=~no-such-user/x", "no-such-user"},
		{"-oUserKnownHostsFile=%", "single %"},
		{"-b1", "1"},
		{"-oAddressFamily=inet6", "error: 127.0.0.1 has no IPv6 address\nrex: hint: rex -4 "},
		{"-6", "error: 127.0.0.1 has no IPv6 address\nrex: hint: rex -4 -o Batch"},
		{"-b192.0.2.1", "error: cannot connect from 192.0.2.1, which is no address of this machine\n"},
		{"-oRevokedHostKeys=/no/such", "revoked keys"},
	} {
		status, _, stderr := n.rex(append(append([]string{c.option}, ok...), "127.0.0.1", "true")...)
		if status != 255 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "\nrex: hint: ") {
			t.Errorf("%s: %d %s", c.option, status, stderr)
		}
	}
}

func TestNetworkHosts(t *testing.T) {
	n := newNetwork(t)
	n.allow(n.identity("id_ed25519"))
	other := n.newKey(filepath.Join(t.TempDir(), "other")).Key()
	name, file := fmt.Sprintf("[127.0.0.1]:%d", n.port), n.path("known_hosts")
	same := fmt.Sprintf(" -p %d 127.0.0.1 id", n.port)

	n.know(other)
	for _, strict := range []string{"yes", "ask", "accept-new", "no"} {
		n.fails("changed", "the key of the host "+name+" has changed", "ssh-keygen -R '"+name+"' -f "+file, "-oStrictHostKeyChecking="+strict, "127.0.0.1", "id")
	}
	os.Remove(file)
	n.fails("unknown", name+" is not known", "the fingerprint that rexd logs at start (rexd --check prints it too); then: rex -o StrictHostKeyChecking=accept-new"+same, "127.0.0.1", "id")
	n.fails("strict", "strict host key checking is on", ": rex -o StrictHostKeyChecking=accept-new"+same, "-oStrictHostKeyChecking=yes", "127.0.0.1", "id")
	os.WriteFile(file, []byte("127.0.0.1 "+other.String()+"\n"), 0o600)
	n.fails("differs", "accept-new does not cover a host whose sshd has another key",
		"rex -o StrictHostKeyChecking=ask -o BatchMode=no -o GlobalKnownHostsFile=none"+same, "-oStrictHostKeyChecking=accept-new", "127.0.0.1", "id")
	os.WriteFile(file, []byte("@revoked * "+n.key.Key().String()+"\n"), 0o600)
	n.fails("revoked", "is revoked by "+file+" line 1", "less "+file, "-oStrictHostKeyChecking=no", "127.0.0.1", "id")
	os.Remove(file)
	os.Mkdir(file, 0o700)
	n.fails("unreadable", "is a directory", "ls -ld "+file, "127.0.0.1", "id")
	if n.ran.Load() != 0 {
		t.Error("something ran")
	}
}

func TestNetworkKeys(t *testing.T) {
	n := newNetwork(t)
	who, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	me := who.Username
	n.fails("no keys", "no key to log in with", "ssh-keygen -t ed25519 && ssh-copy-id bob@127.0.0.1", "bob@127.0.0.1", "id")
	n.identity("id_ed25519")
	n.fails("denied late", "permission denied (public key); 1 key was tried", fmt.Sprintf("ssh-copy-id %s@127.0.0.1, or name the key: rex -i FILE -p %d 127.0.0.1 id", me, n.port), "127.0.0.1", "id")
	n.fails("denied, who", "error: "+me+"@127.0.0.1: permission denied", "ssh-copy-id -i "+n.path("id_ed25519")+" "+me+"@", "-i", "~/.ssh/id_ed25519", "127.0.0.1", "id")
	n.identity("id_rsa")
	n.fails("denied", "2 keys were tried ("+n.path("id_ed25519"), "ssh-copy-id", "127.0.0.1", "id")
	os.Chmod(n.path("id_rsa"), 0o644)
	n.fails("exposed and denied", "1 key was tried", "chmod 600 "+n.path("id_rsa"), "127.0.0.1", "id")
	n.fails("exposed", "its mode is 0644", "chmod 600 "+n.path("id_rsa"), "-i", "~/.ssh/id_rsa", "127.0.0.1", "id")
	n.fails("missing", "no such file", "ls -ld "+n.path("id_none"), "-i", "~/.ssh/id_none", "127.0.0.1", "id")
	n.fails("no agent", "no-agent", "SSH_AUTH_SOCK="+n.home+"/no-agent ssh-add -l", "-i", "none", "-oIdentityAgent=~/no-agent", "127.0.0.1", "id")
	os.WriteFile(n.path("garbage"), []byte("x"), 0o600)
	n.fails("garbage", "not a private key", "ssh-keygen -y -f "+n.path("garbage"), "-i", "~/.ssh/garbage", "127.0.0.1", "id")
	os.WriteFile(n.path("half.pub"), []byte(n.key.Key().String()+"\n"), 0o644)
	n.fails("public", "this is a public key, and the agent does not have its private half", "ssh-add "+n.path("half"), "-i", "~/.ssh/half.pub", "127.0.0.1", "id")
	n.env["SSH_AUTH_SOCK"] = "/etc/passwd"
	n.fails("no socket", "agent /etc/passwd: ", "hint: ssh-add -l", "-i", "none", "127.0.0.1", "id")
	delete(n.env, "SSH_AUTH_SOCK")
	for _, file := range []string{"id_rsa", "id_none", "garbage", "half.pub"} {
		if _, _, stderr := n.rex("-i", "~/.ssh/"+file, "127.0.0.1", "id"); strings.Count(stderr, "key file ") != 1 {
			t.Errorf("%s: not said once:\n%s", file, stderr)
		}
	}
	n.fails("user", "user name", "rex user@host command", "-l", "-x", "127.0.0.1", "id")
	var many []string
	for i := range proto.MaxKeys + 1 {
		n.identity(fmt.Sprintf("k%d", i))
		many = append(many, "-i", n.path(fmt.Sprintf("k%d", i)))
	}
	n.fails("many", "16 keys were tried", "IdentitiesOnly=yes -i FILE", append(many, "127.0.0.1", "id")...)

	if path, err := exec.LookPath("ssh-keygen"); err == nil {
		if out, err := exec.Command(path, "-q", "-t", "ed25519", "-N", "secret", "-f", n.path("locked")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		key, err := auth.LoadPublicKey(n.path("locked.pub"))
		if err != nil {
			t.Fatal(err)
		}
		n.allow(key)
		n.fails("locked", n.path("locked")+": it has a passphrase, and there is nobody to ask", "with BatchMode nobody is asked: ssh-add "+n.path("locked"), "-i", "~/.ssh/locked", "127.0.0.1", "id")
		// A program that asks is not the terminal, and BatchMode is neither.
		program := filepath.Join(t.TempDir(), "askpass")
		os.WriteFile(program, []byte("#!/bin/sh\necho secret\n"), 0o700)
		n.env["SSH_ASKPASS"], n.env["SSH_ASKPASS_REQUIRE"] = program, "force"
		n.fails("locked, batch", "it has a passphrase", "ssh-add", "-i", "~/.ssh/locked", "127.0.0.1", "id")
	}
	if n.ran.Load() != 0 {
		t.Error("something ran")
	}
}

// A key that worked is tried first; when the server has forgotten it, the others
// are, and the command runs once, with all of its input.
func TestNetworkKeyRotation(t *testing.T) {
	n := newNetwork(t)
	first, second := n.identity("id_ed25519"), n.identity("id_rsa")
	for _, args := range [][]string{{"-n"}, {"-T"}} {
		for _, key := range []*auth.Key{first, second, first} {
			n.allow(key)
			before := n.ran.Load()
			for range 2 {
				status, stdout, stderr := n.rexWith("input\n", append(args, "127.0.0.1", "echo ran; cat")...)
				want := "ran\n"
				if args[0] != "-n" {
					want += "input\n"
				}
				if status != 0 || stdout != want {
					t.Errorf("%q: %d %q\n%s", args, status, stdout, stderr)
				}
			}
			if ran := n.ran.Load() - before; ran != 2 {
				t.Errorf("%q: two commands ran %d times", args, ran)
			}
		}
	}
	// With -n the refusal comes late, and rex says what it did.
	n.allow(second)
	_, _, stderr := n.rex("-vv", "-n", "127.0.0.1", "true")
	if strings.Count(stderr, "connecting to") != 2 || !strings.Contains(stderr, "worked last time was refused") {
		t.Errorf("it said\n%s", stderr)
	}
	n.allow()
	n.fails("neither", "2 keys were tried", "ssh-copy-id", "-n", "127.0.0.1", "true")
}

func TestNetworkErrors(t *testing.T) {
	n := newNetwork(t)
	n.identity("id_ed25519")
	n.onTestNetwork()
	n.fails("nobody", "nobody listens on port 7390 of web1", "rexd --listen :7390", "web1", "id")
	n.fails("no such host", "cannot find the address of no-such-host.invalid", "getent hosts no-such-host.invalid", "no-such-host.invalid", "id")
	n.fails("bad host", "begins with '-'", "rex", "--", "-oProxyCommand=x", "id")

	greets := func(greeting string) string {
		return n.serve(func(c net.Conn) {
			io.WriteString(c, greeting)
			io.Copy(io.Discard, c)
		}).String()
	}
	n.fails("ssh", "that port speaks ssh; rexd listens on 7390", "hint: rex -p 7390 bob@web1 id -u", "bob@"+greets("SSH-2.0-OpenSSH_9.2\r\n"), "id", "-u")
	n.fails("http", "speaks http", "rex -p PORT", greets("HTTP/1.1 400 Bad\r\n\r\n"), "id")
	n.fails("noise", "web1", "rex -p PORT", greets("\x1b[2J\x1b]0;x\x07 hello hello"), "id")
	n.fails("silence", "no answer from", "ConnectTimeout=4", "-oConnectTimeout=1", greets(""), "id")
}

// hostile is a server whose TLS is right and whose answer to a login is not.
func (n *network) hostile(answer []byte) sessiontest.Addr {
	n.t.Helper()
	cfg := &tls.Config{
		NextProtos: []string{"rex/1 ssh-ed25519"}, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{leaf(n.t, n.key.Signer().(ed25519.PrivateKey))},
	}
	return n.serve(func(c net.Conn) {
		s := tls.Server(c, cfg)
		if _, err := s.Read(make([]byte, 4096)); err == nil {
			s.Write(answer)
			s.CloseWrite()
			io.Copy(io.Discard, s)
		}
	})
}

// Whatever a server says to a login, the terminal gets nothing raw, and no more
// than a few lines.
func TestNetworkHostileServer(t *testing.T) {
	n := newNetwork(t)
	n.onTestNetwork()
	n.identity("id_ed25519")
	text := func(code proto.AuthCode, text string) []byte {
		frame, err := (&proto.AuthResult{Code: code, Text: text}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	for name, c := range map[string]struct {
		answer    []byte
		msg, hint string
	}{
		"escapes":     {text(proto.AuthDenied, "\x1b[2J\x1b]0;owned\x07\r\nrex: hint: rm -rf ~\u202e"), `\x1b[2J`, "ssh-copy-id"},
		"long":        {text(proto.AuthDenied, strings.Repeat("\x1b", 2000)), `...`, "ssh-copy-id"},
		"busy":        {text(proto.AuthBusy, "wait"), "wait", "try again in a moment"},
		"version":     {text(proto.AuthBadVersion, ""), "", "rex version"},
		"needs what":  {text(proto.AuthNeedSig, ""), "", "rex -v"},
		"endless":     {[]byte("\xff\xff\xff\xff" + strings.Repeat("x", 4096)), "", ""},
		"nothing":     {nil, "closed the connection before it judged the login", ""},
		"half":        {text(proto.AuthDenied, "no")[:6], "closed the connection", ""},
		"not a frame": {[]byte("\x00\x00\x00\x05\x1b[2J\x07"), "", ""},
		"no link":     {append(text(proto.AuthOK, ""), "\x1b[2J is no link record"...), "", ""},
	} {
		n.env["HOME"] = n.home
		at := n.hostile(c.answer)
		if err := knownhosts.Add(n.path("known_hosts"), at.Host, at.Port, n.key.Key(), false); err != nil {
			t.Fatal(err)
		}
		n.fails(name, c.msg, c.hint, at.String(), "id")
	}
}
