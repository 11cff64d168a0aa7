package knownhosts

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rexec/rex/internal/auth"
)

// program finds a program of OpenSSH.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}

// keys are one of each type of host key, made once.
var keys = sync.OnceValue(func() map[string]*auth.Key {
	all := map[string]*auth.Key{}
	add := func(k crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		key, err := auth.KeyOf(k.Public())
		if err != nil {
			panic(err)
		}
		all[key.Type()] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add(ed, err)
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		add(k, err)
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	add(k, err)
	return all
})

func newKey(t testing.TB) *auth.Key {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.KeyOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A generator makes the lines of known_hosts files and the names to look up,
// plausible ones and near misses.
type generator struct{ *mrand.Rand }

func generatorOf(seed uint64) generator { return generator{mrand.New(mrand.NewPCG(seed, 1))} }

var hosts = []string{"web1", "web2", "Web1.Example.ORG", "web1.example.org", "db.example.org", "10.0.0.1", "::1", "fe80::1%eth0", "x-y", "a"}

func pick[T any](g generator, all []T) T { return all[g.IntN(len(all))] }

// query is a name to look up, in lower case: ssh lowers the host that it is
// given before ssh-keygen's code sees it.
func (g generator) query() (host string, port int) {
	return lower(pick(g, hosts[:2+g.IntN(len(hosts)-1)])), pick(g, []int{22, 22, 22, 7390, 7390, 2222})
}

func (g generator) name() string {
	host, port := g.query()
	name, _ := lookup(host, port, "")
	if g.IntN(4) == 0 {
		name = strings.ToUpper(name)
	}
	return name
}

// pattern is one item of a list of hosts.
func (g generator) pattern() string {
	name := []byte(g.name())
	switch g.IntN(12) {
	case 0:
		return "*"
	case 1:
		return pick(g, []string{"", "!", "?", "**", "[*]:7390", "*.example.org", "web?", "!!web1", "*:*", "|", "@revoked", "web1\r"})
	case 2:
		return strings.Repeat("x", 1020+g.IntN(6))
	case 3:
		return strings.Repeat("*", g.IntN(4)) + string(name) + strings.Repeat("*", g.IntN(1100))
	case 4, 5, 6: // wildcards in place of some letters
		for range 1 + g.IntN(3) {
			if i := g.IntN(len(name)); g.IntN(2) == 0 {
				name[i] = '?'
			} else {
				name = append(append(name[:i:i], '*'), name[min(len(name), i+1+g.IntN(3)):]...)
			}
		}
	}
	return string(name)
}

func (g generator) hosts() string {
	if g.IntN(4) == 0 {
		salt := make([]byte, 20)
		for i := range salt {
			salt[i] = byte(g.IntN(256))
		}
		h := hashName(salt[:pick(g, []int{20, 20, 20, 20, 20, 20, 19})], lower(g.name()))
		return pick(g, []func(string) string{
			func(s string) string { return s },
			func(s string) string { return s },
			func(s string) string { return s },
			func(s string) string { return s },
			func(s string) string { return s + ",web1" },
			func(s string) string { return "!" + s },
			func(s string) string { return strings.TrimSuffix(s, "=") },
			func(s string) string { return strings.Replace(s, "|1|", "|2|", 1) },
			func(s string) string { return strings.Replace(s, "=|", "|", 1) },
			func(s string) string { return s[:g.IntN(len(s))] },
		})(h)
	}
	var list []string
	for range 1 + g.IntN(4) {
		p := g.pattern()
		if g.IntN(5) == 0 {
			p = "!" + p
		}
		list = append(list, p)
	}
	return strings.Join(list, ",")
}

// wire is a key's wire format, made of strings.
func wire(fields ...string) string {
	var b []byte
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return string(b)
}

// key is the rest of a line.
func (g generator) key() string {
	types := slices.Sorted(func(yield func(string) bool) {
		for t := range keys() {
			if !yield(t) {
				return
			}
		}
	})
	kind := pick(g, types)
	b64 := base64.StdEncoding.EncodeToString(keys()[kind].Blob())
	sk := base64.StdEncoding.EncodeToString([]byte(wire("sk-ssh-ed25519@openssh.com", strings.Repeat("k", 32), "ssh:")))
	cut := g.IntN(len(b64))
	if g.IntN(2) == 0 {
		return kind + " " + b64
	}
	return pick(g, []string{
		kind + "\t \t" + b64 + " a comment",
		kind + " " + b64 + "\tcomment",
		kind + " " + b64[:cut] + "\r\v\f" + b64[cut:],
		kind + " " + b64[:cut],
		kind + " " + b64[:cut] + "*" + b64[cut:],
		kind + " " + b64 + "AAAA",
		kind + " " + b64 + "\x00 hidden",
		kind + " \x00" + b64,
		pick(g, types) + " " + b64,
		strings.ToUpper(kind) + " " + b64,
		"rsa-sha2-256 " + b64,
		"rsa-sha2-512 " + b64,
		"ED25519 " + b64,
		"ssh-unknown " + b64,
		"sk-ssh-ed25519@openssh.com " + sk,
		"1024 65537 " + strings.Repeat("9", 300),
		kind,
		kind + " ",
		kind + " #" + b64,
		"# " + kind + " " + b64,
		b64,
		kind + " " + strings.Repeat("A", 1<<16),
		"",
	})
}

func (g generator) line() string {
	indent := pick(g, []string{"", "", "", "", " ", "\t", "# ", "\r"})
	mark := pick(g, []string{
		"", "", "", "", "@cert-authority ", "@revoked ", "@revoked\t", "@revoked \t", "@cert-authority  ",
		"@Revoked ", "@", "@ ", "@unknown ", "@revoked @cert-authority ", "@revoked",
	})
	end := pick(g, []string{"\n", "\n", "\n", "\r\n", " \n", "\n\n", "\r\r\n"})
	return indent + mark + g.hosts() + pick(g, []string{" ", " ", "\t", "  ", ""}) + g.key() + end
}

func (g generator) file() string {
	var b strings.Builder
	for range 1 + g.IntN(30) {
		b.WriteString(g.line())
	}
	if g.IntN(4) == 0 {
		return strings.TrimRight(b.String(), "\r\n")
	}
	return b.String()
}

var found = regexp.MustCompile(`(?m)^# Host .* found: line (\d+)(?: (CA|REVOKED))?\s*$`)

// keygen asks ssh-keygen for the lines of a name, each with its marker. With -l
// it decodes the keys, as ssh does; without it also shows lines whose keys are
// junk. It compares hashed names with what it is given, without lowering it,
// but ssh-keygen and ssh hash lowered names only. There are no other
// differences from what ssh does: -F knows patterns and negation too.
func keygen(t *testing.T, program, file, name string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "-l", "-F", name, "-f", file).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	var lines []string
	for _, m := range found.FindAllSubmatch(out, -1) {
		lines = append(lines, string(m[1])+" "+string(m[2]))
	}
	return lines
}

// ours is the same from a Set.
func ours(s *Set, name string) []string {
	var lines []string
	for _, e := range s.find(name, "").exact {
		lines = append(lines, strconv.Itoa(e.number)+" "+[...]string{"", "CA", "REVOKED"}[e.marker])
	}
	return lines
}

func TestAgainstKeygen(t *testing.T) {
	keygenPath := program(t, "ssh-keygen")
	path := filepath.Join(t.TempDir(), "known_hosts")
	files := 150
	if testing.Short() {
		files = 15
	}
	lines, queries, hits := 0, 0, 0
	for seed := range files {
		g := generatorOf(uint64(seed))
		text := g.file()
		lines += strings.Count(text, "\n")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load([]string{path})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			host, port := g.query()
			name, _ := lookup(host, port, "")
			want, got := keygen(t, keygenPath, path, name), ours(s, name)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %s: lines %q, ssh-keygen has %q in\n%q", seed, name, got, want, strings.SplitAfter(text, "\n"))
			}
			queries, hits = queries+1, hits+len(got)
		}
	}
	t.Logf("%d files, %d lines, %d queries, %d lines found", files, lines, queries, hits)
	if hits < queries/2 {
		t.Error("the generator hits too seldom to say anything")
	}
}

// TestHashedByKeygen has ssh-keygen hash a file: the same hosts are found as
// before, but for patterns, which stay in clear.
func TestHashedByKeygen(t *testing.T) {
	keygenPath := program(t, "ssh-keygen")
	path := filepath.Join(t.TempDir(), "known_hosts")
	var b bytes.Buffer
	for i, h := range hosts {
		fmt.Fprintf(&b, "%s,[%s]:7390 %s\n", h, h, newKey(t))
		fmt.Fprintf(&b, "[%s]:%d %s\n", strings.ToUpper(h), 2000+i, newKey(t))
	}
	fmt.Fprintf(&b, "*.example.org %s\n", newKey(t))
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	clear, err := Load([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), keygenPath, "-H", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen -H: %v: %s", err, out)
	}
	hashed, err := Load([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(fmt.Sprint(hashed.lines), "|1|"); n < 2*len(hosts) {
		t.Fatalf("%d hashed names", n)
	}
	for i, h := range hosts {
		for _, port := range []int{22, 7390, 2000 + i, 1} {
			if got, want := hashed.Types(h, port, ""), clear.Types(h, port, ""); !slices.Equal(got, want) {
				t.Errorf("%s:%d: %v hashed, %v in clear", h, port, got, want)
			}
			name, _ := lookup(h, port, "")
			if got, want := ours(hashed, name), keygen(t, keygenPath, path, name); !slices.Equal(got, want) {
				t.Errorf("%s: lines %q, ssh-keygen has %q", name, got, want)
			}
		}
	}
}
