package authkeys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// signer is the n-th key of a series.
func signer(tb testing.TB, series, n uint64) ssh.Signer {
	seed := bytes.Repeat([]byte{7}, 32)
	binary.BigEndian.PutUint64(seed, series)
	binary.BigEndian.PutUint64(seed[8:], n)
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// newQuestion asks for a key whose text is K in lines, and its digits B.
func newQuestion(tb testing.TB, key ssh.Signer, lines string) *question {
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	lines = strings.ReplaceAll(lines, "%K", text)
	lines = strings.ReplaceAll(lines, "%B", strings.TrimPrefix(text, "ssh-ed25519 "))
	lines = strings.ReplaceAll(lines, "%R", strings.ReplaceAll(report, `"`, `\"`))
	q := &question{lines: lines + "\n", signer: key}
	var err error
	if q.key, err = auth.ParseKey(key.PublicKey().Marshal()); err != nil {
		tb.Fatal(err)
	}
	return q
}

// certify makes the question one of a certificate, by the key that the lines
// are about, with everything permitted.
func (q *question) certify(tb testing.TB, principals ...string) {
	user := signer(tb, 1<<32, 0)
	cert := &ssh.Certificate{
		Key: user.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: principals,
		Permissions: ssh.Permissions{Extensions: map[string]string{
			"permit-X11-forwarding": "", "permit-agent-forwarding": "", "permit-port-forwarding": "", "permit-pty": "", "permit-user-rc": "",
		}},
	}
	if err := cert.SignCert(rand.Reader, q.signer); err != nil {
		tb.Fatal(err)
	}
	var err error
	if q.signer, err = ssh.NewCertSigner(cert, user); err != nil {
		tb.Fatal(err)
	}
	if q.key, err = auth.ParseKey(cert.Marshal()); err != nil {
		tb.Fatal(err)
	}
	q.principals = principals
}

// selected are questions at the edges.
func selected(tb testing.TB) (list []*question) {
	add := func(lines string) *question {
		q := newQuestion(tb, signer(tb, 1<<33, uint64(len(list))), lines)
		list = append(list, q)
		return q
	}
	for _, lines := range []string{
		"%K", "%K comment", "\t  %K", "%K\r", "%K \r", "ssh-ed25519\t %B\tcomment", "#%K", " # %K", "x\n\n%K", "SSH-ED25519 %B",
		"ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519  # %B", "ssh-ed25519 %B=", "ssh-ed25519 %B#", "ssh-ed25519 x%B", "ssh-rsa %B",
		"ed25519 %B", "%K\x00", "%K \x00 x", "\x00%K", "pty\x00 %K", "pty %K\x00pty", "\ufeff%K", "ssh-ed25519 \r%B", "ssh-ed25519 A\v%B",
		"ssh-ed25519 %K", "ssh-ed25519-cert-v01@openssh.com %B", "ssh-ed25519 AAAA %K", "pty ssh-ed25519 AAAA\n%K",
		"%K " + strings.Repeat("x", 8192), strings.Repeat("pty,", 2100) + "pty %K", "%K", "no-pty %K", "no-pty\t%K", "No-PTY  \t %K", "\"no-pty\" %K",
		",no-pty %K", "no-pty, %K", ",, %K", ", %K", "no-pty,,no-agent-forwarding %K", "no-pty, no-agent-forwarding %K",
		"no-pty no-agent-forwarding %K", "no-pty ,pty %K", "no-pty,%K", "no-ptyx %K", "xno-pty %K", "no-no-pty %K", "no-restrict %K",
		"no- %K", "restrict= %K", "restrict=\"\" %K", "restrict,pty %K", "pty,restrict %K", "no-pty,pty %K", "pty,no-pty %K",
		"restrict,agent-forwarding %K", "restrict,port-forwarding,X11-forwarding,user-rc %K", "reſtrict %K",
		"touch-required,no-touch-required,verify-required,no-verify-required %K", "no-touch-required %K",
		"principals=\"root\" %K", "cert-authority %K", "CERT-AUTHORITY %K\n%K", "no-cert-authority %K",
		// command
		`command="" %K`, `command="%R" %K`, `command="echo forced; %R" %K`, `COMMAND="echo forced; %R",no-pty %K`, `command= %K`, `command %K`,
		`command=echo %K`, `command='echo' %K`, `command="echo a, b = \"c\"; %R" %K`, `command="echo '\\"'; %R" %K`, `command="echo \\" %K`,
		`command="echo \" %K`, `command="echo %K`, `command="echo a""b" %K`, `command="a"b %K`, `command ="a" %K`, `command= "a" %K`,
		`command="echo a",command="echo b" %K`, `command="",command="" %K`, `command="echo	tab; %R"` + "\t%K", `no-command="x" %K`,
		`command="echo \$HOME; %R" %K`, `command="echo a # %R" %K`, `\"command="echo a" %K`, `command="exit 3" %K`, `command="echo '` + "\x01\xff" + `'; %R" %K`,
		// from
		`from="127.0.0.1" %K`, `from="127.0.0.2" %K`, `from="127.0.0.2,127.0.0.1" %K`, `from="127.0.0.0/8" %K`, `from="127.0.0.1/8" %K`,
		`from="127.0.0.0/33" %K`, `from="127.0.0.0/129,127.0.0.1" %K`, `from="127.0.0.0/08" %K`, `from="127.0.0.0/" %K`, `from="0.0.0.0/0" %K`,
		`from="127.0.0.0/+8" %K`, `from="::ffff:127.0.0.1" %K`, `from="::ffff:127.0.0.0/104" %K`, `from="::/0" %K`, `from="*" %K`, `from="?*" %K`,
		`from="127.*" %K`, `from="127.0.0.?" %K`, `from="127.0.0.1?" %K`, `from="12*1" %K`, `from="" %K`, `from="," %K`, `from="127.0.0.1," %K`,
		`from=",127.0.0.1" %K`, `from="!" %K`, `from="!127.0.0.2" %K`, `from="!127.0.0.2,*" %K`, `from="!127.0.0.1,*" %K`, `from="*,!127.0.0.1" %K`,
		`from="*,!127.0.0.0/8" %K`, `from="*,!127.*" %K`, `from="*,!*.example" %K`, `from="*,!host.example" %K`, `from="*,!cafe.de" %K`,
		`from="*,!127.1" %K`, `from="*,!0x7f000001" %K`, `from="127.1" %K`, `from="0x7f.1" %K`, `from="2130706433" %K`, `from="0177.0.0.1" %K`,
		`from="127.0.0.1 " %K`, `from=" 127.0.0.1" %K`, `from="127.0.0.1, 127.0.0.1" %K`, `from="127.0.0.1",from="127.0.0.1" %K`, `from=127.0.0.1 %K`,
		`from="localhost" %K`, `from="localhost,127.0.0.1" %K`, `from="*host" %K`, `from="a/b,127.0.0.1" %K`, `from="10.0.0.1/8,127.0.0.1" %K`,
		`from="127.0.0.1,!10.0.0.1/8" %K`, `from="!!127.0.0.1,*" %K`, `from="127.0.0.0/8/8" %K`, `FROM="127.0.0.1" %K`, `from="*,!::ffff:127.0.0.1" %K`,
		`from="127.1",command="echo forced" %K` + "\n%K", `from="127.0.0.2",command="echo forced" %K` + "\n%K", `from="*,!localhost" %K` + "\n%K",
		// expiry-time
		`expiry-time="20200101" %K`, `expiry-time="20990101" %K`, `expiry-time="20990101Z" %K`, `expiry-time="209901010000Z" %K`,
		`expiry-time="20990101000000Z" %K`, `expiry-time="20990101z" %K`, `expiry-time="20990101UTC" %K`, `expiry-time="20990230" %K`,
		`expiry-time="20991301" %K`, `expiry-time="20990101000060" %K`, `expiry-time="209901012400" %K`, `expiry-time="2099 1 1" %K`,
		`expiry-time="+2990101" %K`, `expiry-time="" %K`, `expiry-time="Z" %K`, `expiry-time="2099" %K`, `expiry-time="19700101Z" %K`,
		`expiry-time="19600101Z" %K`, `expiry-time="20990101",expiry-time="20980101" %K`, `expiry-time="20990101",expiry-time="20200101" %K`,
		`expiry-time=20990101 %K`, `expiry-time="20200101",command="echo forced" %K` + "\n%K", `expiry-time="99990101" %K`,
		// environment
		`environment="TA=1" %K`, `environment="TA=" %K`, `environment="TA" %K`, `environment="=1" %K`, `environment="" %K`, `environment="1A=1" %K`,
		`environment="TA=1",environment="TA=2",environment="TB=3" %K`, `environment="TAB=1",environment="TA=2" %K`, `environment="T-A=1" %K`,
		`environment="T_9=a \"b\" =c, d" %K`, `environment="TA=1",command="echo forced; %R",restrict %K`, `environment=" TA=1" %K`, `environment="TÄ=1" %K`,
		// what has no effect here
		`permitopen="a:1" %K`, `permitopen="a:*",permitopen="[::1]:65535" %K`, `permitopen="a" %K`, `permitopen=":1" %K`, `permitopen="a/1" %K`,
		`permitopen="a:http" %K`, `permitopen="a:0" %K`, `permitopen="a:65536" %K`, `permitopen="::1:1" %K`, `permitopen="[::1" %K`, `permitopen="a: 1" %K`,
		`permitopen="a:1" ,pty %K`, `permitlisten="1" %K`, `permitlisten="*" %K`, `permitlisten="" %K`, `permitlisten="a:1" %K`, `permitlisten=" 1" %K`,
		`permitlisten="http" %K`, `tunnel="1" %K`, `tunnel="any" %K`, `tunnel="ANY" %K`, `tunnel="1:2" %K`, `tunnel="" %K`, `tunnel="+1" %K`,
		`tunnel="2147483645" %K`, `tunnel="2147483646" %K`, `tunnel="2147483647" %K`, `tunnel="1",tunnel="2" %K`,
		// the first line that counts
		"command=\"echo 1; %R\" %K\n%K", "%K\ncommand=\"echo 2; %R\" %K", "x %K\n%K", "expiry-time=\"20990101\",expiry-time=\"20990101\",command=\"echo 1\" %K\n%K",
		"command=\"echo 1 %K\n%K", "cert-authority %K\nno-pty %K",
	} {
		add(lines)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(weak)
	if err != nil {
		tb.Fatal(err)
	}
	list = append(list, newQuestion(tb, key, "%K"))
	for _, c := range []struct{ lines, principals string }{
		{"%K", "root"},
		{"cert-authority %K", "root"},
		{"cert-authority %K", "other"},
		{"cert-authority,principals=\"other\" %K", "other"},
		{"cert-authority,principals=\"other\" %K", "root"},
		{"cert-authority,principals=\"a,other\" %K", "b other"},
		{"principals=\"root\" %K", "root"},
		{"cert-authority,principals=\"\" %K", "root"},
		{"cert-authority,principals=\"root,\" %K", "root"},
		{"cert-authority,principals=\",root\" %K", "root"},
		{"cert-authority,principals=\" root\" %K", "root"},
		{"cert-authority,principals=\"ROOT\" %K", "root"},
		{"cert-authority,principals=\"*\" %K", "root"},
		{"cert-authority,principals=\"root" + strings.Repeat(",a", 40) + "\" %K", "root"},
		{"cert-authority,principals=\"" + strings.Repeat("a,", 40) + "root\" %K", "root"},
		{"cert-authority,principals=\"a\",principals=\"root\" %K", "root"},
		{"cert-authority,restrict,command=\"echo forced; %R\",environment=\"TA=1\" %K", "root"},
		{"cert-authority,from=\"127.0.0.2\" %K\ncert-authority,no-pty %K", "root"},
		{"cert-authority,expiry-time=\"20200101\" %K", "root"},
		{"no-pty %K\ncert-authority,no-agent-forwarding %K", "root"},
		{"cert-authority,principals=\"a\" %K\ncert-authority %K", "root"},
	} {
		add(c.lines).certify(tb, strings.Fields(c.principals)...)
	}
	return list
}

// generated are questions of random lines; the same of the same series.
func generated(tb testing.TB, series uint64, n uint64) (list []*question) {
	g := generator{mathrand.New(mathrand.NewPCG(series, 1))}
	for i := range n {
		lines := g.line()
		for g.IntN(3) == 0 {
			lines += "\n" + g.line()
		}
		q := newQuestion(tb, signer(tb, series, i), lines)
		if strings.Contains(strings.ToLower(lines), "cert-authority") && g.IntN(2) == 0 {
			q.certify(tb, g.of("root", "other"))
		}
		list = append(list, q)
	}
	return list
}

type generator struct{ *mathrand.Rand }

func (g generator) of(list ...string) string { return list[g.IntN(len(list))] }

func (g generator) line() string {
	blank := func() string { return g.of("", "", "", " ", "\t", " \t ") }
	options := ""
	for range g.IntN(5) {
		options += g.of(",", ",", ",", ",", ",", ",", ",", ",", ", ", ",,") + g.caseOf(g.option())
	}
	if options = strings.TrimPrefix(options, ","); options != "" {
		options += " " + blank()
	}
	key := "ssh-ed25519 " + blank() + "%B"
	if g.IntN(40) == 0 {
		key = g.of("ssh-rsa %B", "%B", "ssh-ed25519 A%B", "ssh-ed25519")
	}
	return g.of("", "", "", "", "", "", "", "", "", "", "", "", "#", "x ", "pty", "\"") + blank() + options + key + g.of("", " ", " comment", "\r", " a \"b\"", "\t#")
}

// caseOf changes the letters of a name, sometimes.
func (g generator) caseOf(option string) string {
	name, value, ok := strings.Cut(option, "=")
	if name == "" {
		return option
	}
	switch g.IntN(8) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	if ok {
		name += "="
	}
	return name + value
}

func (g generator) option() string {
	switch g.IntN(12) {
	case 0, 1, 2:
		return g.of("pty", "no-pty", "restrict", "agent-forwarding", "no-agent-forwarding", "port-forwarding", "no-port-forwarding")
	case 3:
		return g.of("user-rc", "no-user-rc", "X11-forwarding", "no-X11-forwarding", "no-touch-required", "verify-required", "no-verify-required")
	case 4, 5:
		return g.of("command", "command", "command", "command", "command ") + `=` + g.of(`"echo 1; %R"`, `"echo 2 , \"3\"; %R"`, `"%R"`, `"echo 4 ssh-ed25519 %B; %R"`, `"echo 5"`, `""`, `"echo 6`, `echo`)
	case 6, 7:
		return `from="` + g.from() + `"`
	case 8:
		return `expiry-time="` + g.of("2099", "2199", "2020", "20") + g.of("0101", "1231", "0229", "1301") + g.of("", "", "1200", "120000", "2400", "6") + g.of("", "Z") + `"`
	case 9:
		return `environment="` + g.of("TA", "TB", "T_1", "TA", "TB", "1T", "T A") + "=" + g.of("", "1", "2", `\"x\"`, "a, b", "=") + `"`
	case 10:
		return g.of("cert-authority", "cert-authority", `principals="root"`, `permitopen="a:1"`, `permitlisten="1"`, `tunnel="0"`)
	default:
		return g.of("x", "pty-", "no-restrict", `pty="1"`, "", "restrict", `environment="TC=1"`, `user-rc`, "ssh-ed25519", `"`, `\"`, `='`)
	}
}

func (g generator) from() string {
	var list []string
	for range 1 + g.IntN(3) {
		list = append(list, g.of("", "", "", "", "!")+g.of("127.0.0.1", "127.0.0.2", "127.0.0.0/8", "127.1.0.0/16", "127.*", "127.0.0.?", "*", "10.0.0.0/8", "::1", "::/0", "::*",
			"192.0.2.1", "*.example", "localhost", "127.0.0.1/8", "127.1", "", "::ffff:127.0.0.1", "fe80::/10"))
	}
	return strings.Join(list, ",")
}
