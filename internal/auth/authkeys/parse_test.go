package authkeys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// newKey is the n-th key, the same in each run.
func newKey(tb testing.TB, n byte) *auth.Key {
	tb.Helper()
	return keyOf(tb, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)).Public())
}

func keyOf(tb testing.TB, public any) *auth.Key {
	tb.Helper()
	k, err := auth.KeyOf(public)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// certificate is signed by the n-th key.
func certificate(tb testing.TB, n byte) *auth.Key {
	tb.Helper()
	ca, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		tb.Fatal(err)
	}
	public, err := ssh.ParsePublicKey(newKey(tb, 99).Blob())
	if err != nil {
		tb.Fatal(err)
	}
	cert := &ssh.Certificate{Key: public, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		tb.Fatal(err)
	}
	k, err := auth.ParseKey(cert.Marshal())
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestParse(t *testing.T) {
	a, b := newKey(t, 1), newKey(t, 2)
	file := "# comment\n\n \t \r\n  # comment\n" +
		a.String() + " the comment \r\n" +
		"\tno-pty,command=\"a b\"  \t" + b.String() + "\n" +
		"nothing " + a.String() + "\n" +
		b.String() // without an end
	entries, problems := Parse([]byte(file))
	if len(entries) != 3 || len(problems) != 1 {
		t.Fatalf("%v, %v", entries, problems)
	}
	if e := entries[0]; e.Line != 5 || !e.Key.Equal(a) || e.Comment != "the comment" || !e.Options.PTY {
		t.Errorf("%+v", e)
	}
	if e := entries[1]; e.Line != 6 || !e.Key.Equal(b) || e.Comment != "" || e.Options.PTY || *e.Options.Command != "a b" {
		t.Errorf("%+v", e)
	}
	if e := entries[2]; e.Line != 8 || !e.Key.Equal(b) {
		t.Errorf("%+v", e)
	}
	if p := problems[0]; p != (Problem{7, `unknown option "nothing"`}) {
		t.Errorf("%+v", p)
	}
}

func TestBadLines(t *testing.T) {
	k := newKey(t, 1)
	typ, text, _ := strings.Cut(k.String(), " ")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := keyOf(t, &ec.PublicKey).String()
	blob := k.Blob()
	short := base64.StdEncoding.EncodeToString(blob[:len(blob)-1])
	for in, want := range map[string]string{
		"garbage":                              "no key of a supported type",
		"garbage garbage":                      "no key of a supported type",
		typ:                                    "bad key: neither",
		typ + " ":                              "bad key: neither",
		typ + " AAAA":                          "bad key: short read",
		typ + " " + text[:20]:                  "bad key",
		typ + " " + short:                      "bad key",
		typ + " " + text[:9] + "\r" + text[9:]: "bad key: more than one",
		typ + " " + text + "=":                 "bad key: what follows",
		"ssh-rsa " + text:                      "bad key: it is called ssh-rsa",
		"ecdsa-sha2-nistp384" + strings.TrimPrefix(p256, "ecdsa-sha2-nistp256"): "bad key: it is called",
		"ssh-dss AAAA":                                  "no key of a supported type",
		"pty ssh-dss AAAA":                              "no key of a supported type",
		certificate(t, 1).String():                      "no key of a supported type",
		"pty " + certificate(t, 1).String():             "no key of a supported type",
		strings.ToUpper(typ) + " " + text:               "no key of a supported type",
		"\ufeff" + k.String():                           "no key of a supported type",
		"no-pty, pty " + k.String():                     "no key of a supported type",
		"no-pty pty " + k.String():                      "no key of a supported type",
		"\\\"pty " + k.String():                         "unknown option",
		`command="` + k.String():                        "a quote is not closed",
		`command="a\" ` + k.String():                    "a quote is not closed",
		k.String() + "\x00":                             "a NUL byte",
		`command="a` + "\x00" + `" ` + k.String():       "a NUL byte",
		k.String() + " " + strings.Repeat("x", MaxLine): "line of 8273 bytes exceeds 8192",
		typ + " " + base64.StdEncoding.EncodeToString(make([]byte, auth.MaxKeyBlob+1)): "key of 16385 bytes",
	} {
		entries, problems := Parse([]byte(in + "\n"))
		if len(entries) != 0 || len(problems) != 1 || !strings.HasPrefix(problems[0].Reason, want) {
			t.Errorf("%.100q: %v %v, want %s", in, entries, problems, want)
		}
	}
}

// The decoder of x/crypto takes digits with bits that say nothing, sshd does not.
func TestStrictBase64(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line := keyOf(t, &key.PublicKey).String()
	if _, problems := Parse([]byte(line)); problems != nil {
		t.Fatal(problems)
	}
	digits := strings.TrimRight(line, "=")
	if digits == line {
		t.Fatal("the key has no padding")
	}
	last := digits[len(digits)-1] + 1
	loose := digits[:len(digits)-1] + string(last) + line[len(digits):]
	if entries, _ := Parse([]byte(loose)); entries != nil {
		t.Errorf("%s is accepted", loose)
	}
}

func TestTooBig(t *testing.T) {
	line := newKey(t, 1).String() + "\n"
	for name, file := range map[string]string{
		"lines": line + strings.Repeat("\n", MaxLines),
		"end":   line + strings.Repeat("\n", MaxLines-1) + "#",
		"bytes": line + strings.Repeat("#", MaxFile),
	} {
		entries, problems := Parse([]byte(file))
		if entries != nil || len(problems) != 1 || problems[0].Line != 0 {
			t.Errorf("%s: %d entries, %v", name, len(entries), problems)
		}
	}
	entries, problems := Parse([]byte(strings.Repeat(line, MaxLines)))
	if len(entries) != MaxLines || problems != nil {
		t.Errorf("%d entries, %v", len(entries), problems)
	}
}

// What sshd may have stopped at stops the search here too.
func TestProblemsRefuseTheirKey(t *testing.T) {
	a, b := newKey(t, 1), newKey(t, 2)
	long := a.String() + " " + strings.Repeat("x", MaxLine)
	for _, bad := range []string{"new-option " + a.String(), "cert-authority,x " + a.String(), long, a.String() + "\x00"} {
		entries, problems := Parse([]byte(a.String() + "\n" + bad + "\n" + a.String() + "\n" + b.String()))
		if len(entries) != 2 || entries[0].Line != 1 || entries[1].Line != 4 || len(problems) != 2 {
			t.Errorf("%.60q: %v, %v", bad, entries, problems)
		} else if want := (Problem{3, "line 2 has the same key and is not accepted"}); problems[1] != want {
			t.Errorf("%.60q: %v", bad, problems[1])
		}
	}
}

func TestFind(t *testing.T) {
	a, b := newKey(t, 1), newKey(t, 2)
	file := strings.Join([]string{
		`cert-authority,from="192.0.2.9" ` + a.String(),
		`cert-authority,principals="x" ` + a.String(),
		`from="192.0.2.1",command="1" ` + a.String(),
		`expiry-time="20260101Z",command="2" ` + a.String(),
		`command="3",from="!192.0.2.3,*" ` + a.String(),
		`command="4" ` + b.String(),
	}, "\n")
	entries, problems := Parse([]byte(file))
	if problems != nil {
		t.Fatal(problems)
	}
	before, after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)
	for _, c := range []struct {
		key     *auth.Key
		source  string
		now     time.Time
		line    int
		reasons []string
	}{
		{a, "192.0.2.1", before, 3, nil},
		{a, "192.0.2.2", before, 4, []string{"line 3: from: no pattern matches 192.0.2.2"}},
		{a, "192.0.2.2", after, 5, []string{"line 3: from: no pattern matches 192.0.2.2", "line 4: expiry-time: it was 2026-01-01T00:00:00Z"}},
		{a, "192.0.2.3", after, 0, []string{"line 3: from: no pattern matches 192.0.2.3", "line 4: expiry-time: it was 2026-01-01T00:00:00Z", `line 5: from: "!192.0.2.3" excludes 192.0.2.3`}},
		{b, "192.0.2.3", after, 6, nil},
		{newKey(t, 3), "192.0.2.3", after, 0, nil},
		{certificate(t, 1), "192.0.2.9", after, 1, nil},
		{certificate(t, 1), "192.0.2.3", after, 2, []string{"line 1: from: no pattern matches 192.0.2.3"}},
		{certificate(t, 2), "192.0.2.3", after, 0, nil},
		{certificate(t, 99), "192.0.2.3", after, 0, nil},
	} {
		e, errs := find(entries, c.key, netip.MustParseAddr(c.source), c.now)
		line := 0
		if e != nil {
			line = e.Line
		}
		var reasons []string
		for _, err := range errs {
			reasons = append(reasons, err.Error())
		}
		if line != c.line || !slices.Equal(reasons, c.reasons) {
			t.Errorf("%s from %s: line %d, %q, want %d, %q", c.key.Type(), c.source, line, reasons, c.line, c.reasons)
		}
	}
}

func FuzzParse(f *testing.F) {
	k := newKey(f, 1)
	for _, seed := range []string{
		k.String(), "no-pty,restrict " + k.String() + " comment\r\n# x\n", `command="a\"b",from="!10.0.0.0/8,*" ` + k.String(),
		`expiry-time="20300101Z",environment="A=b" ` + k.String(), `cert-authority,principals="a,b" ` + k.String(),
		`permitopen="[::1]:1",permitlisten="1",tunnel="any" ` + k.String(), "\x00\x1b", `a="`, "ssh-ed25519 AAAA",
		certificate(f, 1).String(), "x " + k.String() + "\n" + k.String(),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, problems := Parse(file)
		lines := strings.Split(string(file), "\n")
		refused := make(map[int]bool)
		for _, p := range problems {
			refused[p.Line] = true
			if strings.ContainsFunc(p.Reason, func(r rune) bool { return !strconv.IsPrint(r) }) {
				t.Fatalf("%q", p.Reason)
			}
		}
		for _, e := range entries {
			if refused[e.Line] || !e.Options.TouchRequired {
				t.Fatalf("line %d is entry and problem", e.Line)
			}
			checkRound(t, lines[e.Line-1], e)
		}
	})
}

// checkRound wants the same from the line alone, from the same options written
// anew, and from no line with a key in front.
func checkRound(t *testing.T, line string, e Entry) {
	for _, again := range []string{line, write(e)} {
		same, problems := Parse([]byte(again))
		if problems != nil || len(same) != 1 || write(same[0]) != write(e) {
			t.Fatalf("%q is %v, %v", again, same, problems)
		}
	}
	if entries, _ := Parse([]byte("unknown," + strings.TrimLeft(line, " \t"))); entries != nil {
		t.Fatalf("%q: accepted with an unknown option", line)
	}
}

// write is a line that says what the entry says.
func write(e Entry) string {
	o := &e.Options
	var b strings.Builder
	flag := func(name string, on bool) {
		if on {
			b.WriteString(name + ",")
		}
	}
	value := func(name string, values ...string) {
		for _, v := range values {
			fmt.Fprintf(&b, `%s="%s",`, name, strings.ReplaceAll(v, `"`, `\"`))
		}
	}
	flag("cert-authority", o.CertAuthority)
	flag("verify-required", o.VerifyRequired)
	flag("restrict", o.Restrict)
	for _, name := range []string{"pty", "agent-forwarding", "port-forwarding", "x11-forwarding", "user-rc"} {
		flag(name, *o.named(name))
		flag("no-"+name, !*o.named(name))
	}
	if o.Command != nil {
		value("command", *o.Command)
	}
	if o.Principals != nil {
		value("principals", strings.Join(o.Principals, ","))
	}
	var from []string
	for _, p := range o.From {
		from = append(from, p.String())
	}
	if from != nil {
		value("from", strings.Join(from, ","))
	}
	if !o.Expiry.IsZero() {
		value("expiry-time", o.Expiry.UTC().Format("20060102150405Z"))
	}
	if o.Tunnel != "" {
		value("tunnel", o.Tunnel)
	}
	value("environment", o.Environment...)
	value("permitopen", o.PermitOpen...)
	value("permitlisten", o.PermitListen...)
	return b.String() + " " + e.Key.String() + " " + e.Comment
}

// find returns the first entry of [All] that counts, nil if there is none, and
// why those before it do not.
func find(entries []Entry, key *auth.Key, source netip.Addr, now time.Time) (*Entry, []error) {
	var reasons []error
	for e, err := range All(entries, key, source, now) {
		if err == nil {
			return e, reasons
		}
		reasons = append(reasons, fmt.Errorf("line %d: %w", e.Line, err))
	}
	return nil, reasons
}
