package knownhosts

import (
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// A lab is a real sshd, started by ssh for each connection and speaking over
// its pipes, so that any host name and port can be claimed for it.
type lab struct {
	ssh, sshd, dir string
	keys           map[string]*auth.Key // host, other, ca, ca2
	certs          map[string]*auth.Key // by how they were made: good, expired, ...
}

// certificates are the arguments with which ssh-keygen makes those of a lab.
var certificates = map[string][]string{
	"good":    {"-s", "ca", "-h", "-n", "web1.example.org,db.example.org"},
	"expired": {"-s", "ca", "-h", "-n", "web1.example.org,db.example.org", "-V", "20200101:20200102"},
	"user":    {"-s", "ca", "-n", "web1.example.org,db.example.org"},
	"any":     {"-s", "ca", "-h"},
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{
		ssh: program(t, "ssh"), sshd: program(t, "sshd"), dir: t.TempDir(),
		keys: map[string]*auth.Key{}, certs: map[string]*auth.Key{},
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: sshd has its privilege separation directory")
	}
	keygen := program(t, "ssh-keygen")
	run := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), keygen, args...)
		cmd.Dir = l.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %q: %v: %s", args, err, out)
		}
	}
	for _, name := range []string{"host", "other", "ca", "ca2"} {
		run("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name)
		l.keys[name] = l.read(t, name+".pub")
	}
	for name, args := range certificates {
		run(append(args, "-q", "-I", name, "host.pub")...)
		l.certs[name] = l.read(t, "host-cert.pub")
		if err := os.Rename(l.path("host-cert.pub"), l.path(name+".cert")); err != nil {
			t.Fatal(err)
		}
	}
	// Debian's sshd wants a directory that its unit makes.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) read(t *testing.T, name string) *auth.Key {
	t.Helper()
	text, err := os.ReadFile(l.path(name))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := auth.ParseKeyLine(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// accepts reports whether ssh goes on to the login with a file of known hosts.
func (l *lab) accepts(t *testing.T, text, cert string, q Query) bool {
	t.Helper()
	known, config := l.path("known_hosts"), l.path("config")
	lines := "HostKey " + l.path("host") + "\nUsePAM no\nPidFile none\n"
	if cert != "" {
		lines += "HostCertificate " + l.path(cert+".cert") + "\n"
	}
	for path, text := range map[string]string{known: text, config: lines} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-F", "none", "-p", strconv.Itoa(q.Port)}
	for _, o := range []string{
		"UserKnownHostsFile=" + known, "GlobalKnownHostsFile=none", "StrictHostKeyChecking=yes",
		"HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-ed25519", "PreferredAuthentications=none",
		"KexAlgorithms=curve25519-sha256", "BatchMode=yes", "ControlPath=none", "ProxyCommand=" + l.sshd + " -i -e -f " + config,
	} {
		args = append(args, "-o", o)
	}
	if q.Alias != "" {
		args = append(args, "-o", "HostKeyAlias="+q.Alias)
	}
	out, err := exec.CommandContext(t.Context(), l.ssh, append(args, "nobody@"+q.Host)...).CombinedOutput()
	switch text := string(out); {
	case err == nil:
		t.Fatal("logged in")
	case strings.Contains(text, "Permission denied ("):
		return true
	case strings.Contains(text, "Host key verification failed"), strings.Contains(text, "host key is known for"),
		strings.Contains(text, "REVOKED"):
		return false
	default:
		t.Fatalf("ssh: %v: %s", err, out)
	}
	return false
}

// check asks a Set the same question.
func (l *lab) check(text, cert string, q Query) Result {
	s := &Set{}
	s.parse("known_hosts", []byte(text))
	q.Key, q.Cert, q.Now = l.keys["host"], l.certs[cert], time.Now()
	return s.Check(q)
}

// expand writes keys in place of their names.
func (l *lab) expand(text string) string {
	for name, key := range l.keys {
		text = strings.ReplaceAll(text, "{"+name+"}", key.String())
	}
	return text
}

func TestAgainstSSH(t *testing.T) {
	l := newLab(t)
	for i, c := range []struct {
		name, cert, lines string
		host              string
		port              int
		alias             string
		want              Verdict
		fallback          bool
		stricter          bool // than ssh, which accepts
	}{
		{name: "empty", want: Unknown},
		{name: "match", lines: "[web1.example.org]:7390 {host}", want: Trusted},
		{name: "second line", lines: "[web1.example.org]:7390 {other}\n[web1.example.org]:7390 {host}", want: Trusted},
		{name: "upper case", host: "WEB1.example.org", lines: "[Web1.Example.ORG]:7390 {host}", want: Trusted},
		{name: "changed", lines: "[web1.example.org]:7390 {other}", want: Changed},
		{name: "changed, plain host right", lines: "[web1.example.org]:7390 {other}\nweb1.example.org {host}", want: Changed},
		{name: "other host", lines: "[db.example.org]:7390 {host}", want: Unknown},
		{name: "plain host", lines: "web1.example.org {host}", want: Trusted, fallback: true},
		{name: "plain host differs", lines: "web1.example.org {other}", want: Differs, fallback: true},
		{name: "port 22", port: 22, lines: "web1.example.org {host}", want: Trusted},
		{name: "port 22 changed", port: 22, lines: "web1.example.org {other}", want: Changed},
		{name: "port 22 is not [host]:22", port: 22, lines: "[web1.example.org]:22 {host}", want: Unknown},
		{name: "revoked", lines: "[web1.example.org]:7390 {host}\n@revoked * {host}", want: Revoked},
		{name: "revoked for another host", lines: "[web1.example.org]:7390 {host}\n@revoked db.* {host}", want: Trusted},
		{name: "revoked for the plain host", lines: "[web1.example.org]:7390 {host}\n@revoked web1.example.org {host}", want: Revoked, fallback: true, stricter: true},
		{name: "wildcard", lines: "[web?.*.org]:* {host}", want: Trusted},
		{name: "negation", lines: "*,![web1.*]:7390,!web1.* {host}", want: Unknown},
		{name: "negation of the exact name", lines: "*,![web1.*]:7390 {host}", want: Trusted, fallback: true},
		{name: "marker as key", lines: "@cert-authority * {host}", want: Unknown},
		{name: "unknown marker", lines: "@trust * {host}\n@revoke * {host}", want: Unknown},
		{name: "tab after marker", lines: "@cert-authority\t* {ca}", cert: "good", want: Unknown},
		{name: "junk around", lines: "x\n@ y\n[web1.example.org]:7390 ssh-new AAAA\n\x01\n* {host}\n|1|a|b ssh-rsa AAAA", want: Trusted},
		{name: "alias", alias: "farm", lines: "farm {host}\n* {other}", want: Trusted},
		{name: "alias changed", alias: "farm", lines: "farm {other}\n*web1* {host}", want: Changed},
		{name: "alias never falls back", alias: "farm", lines: "web1.example.org {host}", want: Unknown},
		{name: "authority", cert: "good", lines: "@cert-authority * {ca}", want: TrustedByCA},
		{name: "authority of the plain host", cert: "good", lines: "@cert-authority *.example.org {ca}", want: TrustedByCA, fallback: true},
		{name: "authority beside a pin", cert: "good", lines: "@cert-authority *.example.org {ca}\n[web1.example.org]:7390 {other}", want: Changed, stricter: true},
		{name: "authority before a pin", cert: "good", lines: "@cert-authority * {ca}\n[web1.example.org]:7390 {other}", want: TrustedByCA},
		{name: "two authorities", cert: "good", lines: "@cert-authority * {ca2}\n@cert-authority *.org {ca}", want: TrustedByCA, fallback: true},
		{name: "another authority", cert: "good", lines: "@cert-authority * {ca2}", want: Unknown},
		{name: "another authority, key known", cert: "good", lines: "@cert-authority * {ca2}\n* {host}", want: Trusted},
		{name: "authority as plain line", cert: "good", lines: "* {ca}", want: Changed},
		{name: "authority revoked", cert: "good", lines: "* {host}\n@cert-authority * {ca}\n@revoked * {ca}", want: Revoked},
		{name: "key of certificate revoked", cert: "good", lines: "@cert-authority * {ca}\n@revoked * {host}", want: Revoked},
		{name: "expired", cert: "expired", lines: "@cert-authority * {ca}", want: Unknown},
		{name: "expired, key known", cert: "expired", lines: "@cert-authority * {ca}\nweb1.* {host}", want: Trusted, fallback: true},
		{name: "for users", cert: "user", lines: "@cert-authority * {ca}", want: Unknown},
		{name: "for all hosts", cert: "any", lines: "@cert-authority * {ca}", want: Unknown, stricter: true}, // OpenSSH refuses it from 10.3 on
		{name: "for another host", cert: "good", host: "evil.example.org", lines: "@cert-authority * {ca}", want: Unknown},
		{name: "for an alias", cert: "good", host: "evil.example.org", alias: "db.example.org", lines: "@cert-authority * {ca}", want: TrustedByCA},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := Query{Host: c.host, Port: c.port, Alias: c.alias}
			if q.Host == "" {
				q.Host = "web1.example.org"
			}
			if q.Port == 0 {
				q.Port = 7390
			}
			text := l.expand(c.lines) + "\n"
			r := l.check(text, c.cert, q)
			if r.Verdict != c.want || r.Fallback != c.fallback {
				t.Errorf("%v, fallback %v, want %v, %v (%+v)", r.Verdict, r.Fallback, c.want, c.fallback, r)
			}
			if r.Verdict != TrustedByCA && r.Verdict != Revoked && (r.CertProblem != nil) != (c.cert != "") {
				t.Errorf("problem with the certificate: %v", r.CertProblem)
			}
			if testing.Short() && i%5 != 1 {
				return // a connection takes a third of a second
			}
			if got := l.accepts(t, text, c.cert, q); got != (trusted(r) || c.stricter) {
				t.Errorf("%v, but ssh accepts: %v", r.Verdict, got)
			}
		})
	}
}

func trusted(r Result) bool { return r.Verdict == Trusted || r.Verdict == TrustedByCA }

// TestNeverLooserThanSSH makes files of lines that contradict each other. What
// ssh refuses must be refused here; what ssh accepts may be refused only by one
// of the two rules that Check documents.
func TestNeverLooserThanSSH(t *testing.T) {
	l := newLab(t)
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	accepted, stricter := 0, 0
	for seed := range rounds {
		g := generator{mrand.New(mrand.NewPCG(uint64(seed), 2))}
		q := Query{Host: "web1.example.org", Port: pick(g, []int{7390, 7390, 22})}
		cert := pick(g, []string{"", "good", "good", "good", "expired"})
		var b strings.Builder
		for range 1 + g.IntN(4) {
			fmt.Fprintf(&b, "%s%s {%s}\n",
				pick(g, []string{"", "", "", "@cert-authority ", "@cert-authority ", "@cert-authority ", "@revoked "}),
				pick(g, []string{"web1.example.org", "[web1.example.org]:7390", "*", "*", "*.org", "*,!web1.*", "[*]:7390"}),
				pick(g, []string{"host", "host", "other", "ca", "ca", "ca2"}))
		}
		text := l.expand(b.String())
		r, ssh := l.check(text, cert, q), l.accepts(t, text, cert, q)
		switch rex := trusted(r); {
		case rex && !ssh:
			t.Errorf("seed %d, port %d, certificate %q: %v, but ssh refuses with\n%s", seed, q.Port, cert, r.Verdict, b.String())
		case ssh && !rex && (q.Port == 22 || r.Verdict != Revoked && r.Verdict != Changed):
			t.Errorf("seed %d, port %d, certificate %q: %v, but ssh accepts with\n%s", seed, q.Port, cert, r.Verdict, b.String())
		case ssh && !rex:
			stricter++
		}
		if ssh {
			accepted++
		}
	}
	t.Logf("%d files, ssh accepts %d, rex refuses %d of these", rounds, accepted, stricter)
}
