package knownhosts

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := newKey(t)
	one, two := file("one", []byte("* "+newKey(t).String())), file("two", []byte("\nh "+key.String()))
	s, err := Load([]string{filepath.Join(dir, "missing"), one, two, os.DevNull})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Check(Query{Host: "h", Port: 22, Key: key}); r.Verdict != Trusted || r.File != two || r.Line != 2 || r.Known[0].File != one {
		t.Errorf("%+v", r)
	}
	big := file("big", bytes.Repeat([]byte("\n"), MaxFile+1))
	for _, path := range []string{dir, big, one + "\x00"} {
		s, err := Load([]string{two, path})
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "known hosts: ") || !strings.Contains(err.Error(), strings.Trim(path, "\x00")) {
			t.Errorf("%s: %v, %v", path, s, err)
		}
	}
}

func TestSkipped(t *testing.T) {
	key := newKey(t).String()
	b64 := strings.Fields(key)[1]
	s := set(
		"h "+key, "", "# comment", "@cert-authority h "+key, hashName(newSalt(), "h")+" "+key,
		"@trust h "+key, "h", "h ssh-ed25519", "h ssh-ed25519 !!!", "h ssh-new AAAA", "h ssh-rsa "+b64, "|1|x|y "+key,
		"h # "+key, "@revoked @revoked h "+key, "@revoked\th "+key, "h ssh-ed25519 "+strings.Repeat("A", 1<<20),
	)
	want := map[int]error{
		6: errMarker, 7: errShort, 8: errShort, 9: errBase64, 10: errKey, 11: errType, 12: errHash,
		13: errShort, 14: errMarker, 15: errMarker, 16: errKey,
	}
	skipped := s.Skipped()
	slices.SortFunc(skipped, func(a, b Problem) int { return a.Line - b.Line })
	for _, p := range skipped {
		if err := want[p.Line]; err == nil || p.Reason != err.Error() || p.File != "f" {
			t.Errorf("%+v, want %v", p, err)
		}
		delete(want, p.Line)
	}
	if len(want) > 0 {
		t.Errorf("not skipped: %v", want)
	}
	if len(s.find("h", "").exact) != 3 {
		t.Errorf("%+v", s.find("h", ""))
	}
}

// TestOddLines has what OpenSSH takes and refuses in places where another
// reader would decide otherwise.
func TestOddLines(t *testing.T) {
	ed, rsa := newKey(t).String(), keys()["ssh-rsa"].String()
	ecdsa := keys()["ecdsa-sha2-nistp256"].String() // 104 bytes: its base64 ends in one =
	last := len(ecdsa) - 2
	for text, want := range map[string]bool{
		"h " + ed + "\r":                                    true,
		"h " + ed[:30] + "\r\v\f" + ed[30:]:                 true,
		"h " + ed + "\x00junk":                              true,
		"h " + ed[:40] + "\x00" + ed[40:]:                   false,
		"h rsa-sha2-512 " + strings.Fields(rsa)[1]:          true,
		"h ssh-dss " + strings.Fields(rsa)[1]:               false,
		"h " + strings.ReplaceAll(ed, " ", "\t"):            true,
		"@revoked\th\t" + strings.ReplaceAll(ed, " ", "\t"): true,
		"@revoked\th " + ed:                                 false,
		"h " + ecdsa[:last] + string(ecdsa[last]+1) + "=":   false, // the same bytes, other spare bits
		"h " + strings.TrimRight(ecdsa, "="):                false,
		" \t h\t \t" + ecdsa + " \t":                        true,
		"\rh " + ed:                                         false,
	} {
		s := set(text)
		if got := len(s.find("h", "").exact) == 1; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		hosts, name string
		want        bool
	}{
		{"a", "a", true},
		{"A", "a", true},
		{"a,b", "b", true},
		{"a,b", "a,b", false},
		{"", "", true},
		{"*", "", true},
		{"?", "", false},
		{"a*b*c", "aXbXbc", true},
		{"a*b*c", "aXbX", false},
		{"*a", "aaaa", true},
		{"**?", "a", true},
		{"[h]:*", "[h]:7390", true},
		{"[a-z]", "b", false},
		{"*,!b", "b", false},
		{"!b,*", "b", false},
		{"!b", "a", false},
		{"*,!*", "a", false},
		{"*," + strings.Repeat("x", 1022), "a", true},
		{"*," + strings.Repeat("x", 1023), "a", false},
		{"\xff\xfe", "\xff\xfe", true},
		{strings.Repeat("*a", 500), strings.Repeat("a", 499) + "b", false},
		{"|1|", "", false},
		{"|1||", "", false},
	} {
		if got := matches(c.hosts, c.name); got != c.want {
			t.Errorf("%.40q, %q: %v", c.hosts, c.name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	key := newKey(f)
	_, cert, ca := certify(f, "h")
	for seed := range uint64(20) {
		f.Add([]byte(generatorOf(seed).file()))
	}
	f.Add([]byte("@revoked * " + ca.String() + "\n* " + cert.String() + "\r\n\xff\x00"))
	good := "\n[h]:7390 " + key.String() + "\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		s := set(string(data))
		n := bytes.Count(data, []byte("\n")) + 1
		for _, p := range s.Skipped() {
			if p.Line < 1 || p.Line > n || p.Reason == "" {
				t.Fatalf("%+v of %d lines", p, n)
			}
		}
		for _, q := range []Query{{Host: "h", Port: 7390, Key: key}, {Host: "h", Port: 22, Key: cert.Plain(), Cert: cert}, {Alias: "web1", Key: ca}} {
			r := s.Check(q)
			if r.Verdict < Unknown || (r.Verdict == Unknown) != (r.Line == 0) || r.Line > n {
				t.Fatalf("%+v", r)
			}
		}
		// Whatever stands before it, a line counts, unless one revokes its key.
		if v := set(string(data) + good).Check(Query{Host: "h", Port: 7390, Key: key}).Verdict; v != Trusted && v != Revoked {
			t.Fatal(v)
		}
	})
}

// BenchmarkCheck is a file of 10,000 hashed lines.
func BenchmarkCheck(b *testing.B) {
	key := newKey(b)
	var text strings.Builder
	for i := range 10000 {
		text.WriteString(hashName(newSalt(), strings.Repeat("h", i%50)) + " " + key.String() + "\n")
	}
	data := []byte(text.String())
	for b.Loop() {
		s := &Set{}
		s.parse("f", data)
		s.Check(Query{Host: "web1", Port: 7390, Key: key})
	}
}
