//go:build unix

package authorize

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

// restrictions are all that a case can have; each takes something away, whatever
// else there is.
type restrictions struct {
	line    []string // options
	cert    []string // critical options, as name=value
	without []string // extensions
	config  []string
}

func drawRestrictions(t *rapid.T, label string) restrictions {
	some := func(name string, all ...string) []string {
		return slices.Sorted(maps.Keys(rapid.MapOfN(rapid.SampledFrom(all), rapid.Just(true), 0, 3).Draw(t, label+name)))
	}
	return restrictions{
		line:    some(" line", "restrict", "no-pty", "no-port-forwarding", "verify-required", `command="a"`, `from="192.0.2.0/24"`, `from="10.0.0.0/8"`, `expiry-time="20310101"`, `expiry-time="20290101"`, "unknown"),
		cert:    some(" cert", "force-command=a", "force-command=b", "verify-required=", "source-address=192.0.2.0/24", "source-address=10.0.0.0/8", "unknown="),
		without: some(" without", "permit-pty", "permit-port-forwarding", "permit-agent-forwarding"),
		config:  some(" config", "deny alice", "deny ops", "allow bob", "revoke", "shell"),
	}
}

// plus is both; of what can be given once the first is left.
func (r restrictions) plus(o restrictions) restrictions {
	join := func(a, b []string) []string {
		out := slices.Clone(a)
		for _, v := range b {
			name, _, _ := strings.Cut(v, "=")
			if !slices.ContainsFunc(out, func(have string) bool { n, _, _ := strings.Cut(have, "="); return n == name }) {
				out = append(out, v)
			}
		}
		return out
	}
	return restrictions{join(r.line, o.line), join(r.cert, o.cert), join(r.without, o.without), join(r.config, o.config)}
}

// decide is what alice gets; nil if she is refused. With byLine her line has
// the authority, otherwise the host trusts it.
func (r restrictions) decide(t *testing.T, ca *authority, byLine bool) *Decision {
	f := newFake()
	cert := ca.sign(t, func(c *ssh.Certificate) {
		for _, kv := range r.cert {
			name, value, _ := strings.Cut(kv, "=")
			c.CriticalOptions[name] = value
		}
		for _, name := range r.without {
			delete(c.Extensions, name)
		}
	})
	cfg := Config{AllowUsers: []string{"alice", "bob"}, System: f, RevokedKeys: revokedFile}
	f.own[revokedFile] = ""
	if byLine {
		f.files[aliceKeys] = strings.Join(append([]string{"cert-authority"}, r.line...), ",") + " " + ca.key.String()
	} else {
		f.own[caFile], cfg.TrustedUserCAKeys = ca.key.String(), caFile
	}
	for _, c := range r.config {
		switch c {
		case "deny alice":
			cfg.DenyUsers = []string{"alice"}
		case "deny ops":
			cfg.DenyGroups = []string{"ops"}
		case "allow bob":
			cfg.AllowUsers = []string{"bob"}
		case "revoke":
			f.own[revokedFile] = ca.key.String()
		case "shell":
			f.shells = nil
		}
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Authorize(t.Context(), "alice", cert, remote, local)
	if err != nil {
		return nil
	}
	return d
}

// atMost reports whether d grants nothing that o does not.
func (d *Decision) atMost(o *Decision) bool {
	if d == nil {
		return true
	}
	if o == nil {
		return false
	}
	implies := func(a, b bool) bool { return !a || b }
	return implies(d.PTY, o.PTY) && implies(d.PortForwarding, o.PortForwarding) && implies(d.AgentForwarding, o.AgentForwarding) &&
		implies(d.Exact, o.Exact) && implies(o.VerificationRequired, d.VerificationRequired) &&
		(o.Command == nil || d.Command != nil && *d.Command == *o.Command)
}

// TestMonotone adds restrictions, and never is more granted.
func TestMonotone(t *testing.T) {
	ca := newAuthority(t)
	grants := 0
	rapid.Check(t, func(rt *rapid.T) {
		base, more := drawRestrictions(rt, "base"), drawRestrictions(rt, "more")
		byLine := rapid.Bool().Draw(rt, "by line")
		before, after := base.decide(t, ca, byLine), base.plus(more).decide(t, ca, byLine)
		if !after.atMost(before) {
			rt.Fatalf("%+v: %+v\n%+v: %+v", base, before, base.plus(more), after)
		}
		if after != nil {
			grants++
		}
	})
	if grants == 0 && !testing.Short() { // which draws too few to be sure of one
		t.Error("nothing was ever granted")
	}
}

func TestExpand(t *testing.T) {
	for path, want := range map[string]string{
		".ssh/authorized_keys":     "/homes/a/.ssh/authorized_keys",
		"/etc/keys/%u":             "/etc/keys/a",
		"%h/keys":                  "/homes/a/keys",
		"/x/100%%/%u%u":            "/x/100%/aa",
		"/keys//./%u/":             "/keys/a",
		"":                         "error",
		"%":                        "error",
		"/keys/%U":                 "error",
		"/keys/\x00":               "error",
		"../%u":                    "/homes/a",
		"/%u/authorized_keys%%%%u": "/a/authorized_keys%%u",
	} {
		got, err := expand(path, "a", "/homes/a")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %q, %v; want %q", path, got, err, want)
		}
	}
	if got, err := expand("keys", "a", "home"); err == nil {
		t.Errorf("with a home that is relative: %q", got)
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{".ssh/authorized_keys", "/etc/%u", "%h/%%", "%", "%x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := expand(path, "user", "/home/user")
		if (CheckPath(path) == nil) != (err == nil) {
			t.Fatalf("%q: CheckPath differs: %v", path, err)
		}
		if err == nil && (!strings.HasPrefix(got, "/") || strings.ContainsRune(got, 0)) {
			t.Fatalf("%q: %q", path, got)
		}
	})
}

// FuzzAuthorizedKeys reads any two files as one.
func FuzzAuthorizedKeys(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"
	for _, s := range []string{"", key, "x " + key + "\n" + key, "no-pty " + key + "\n", "\"", key + "\x00", "\n\r\n", "KEY", "x KEY\nKEY", `from="192.0.2.7" KEY # c`} {
		f.Add(s, s)
		f.Add(s, key)
	}
	fk := newFake()
	wanted, _ := newKey(f)
	p := fk.policy(f, nil)
	f.Fuzz(func(t *testing.T, first, second string) {
		for i, text := range []string{first, second} {
			fk.files[aliceKeys+strings.Repeat("2", i)] = strings.ReplaceAll(text, "KEY", wanted.String())
		}
		d, err := try(t, p, "alice", wanted)
		if err == nil && !strings.Contains(first+second, "KEY") {
			t.Fatalf("granted: %+v", d)
		}
		if err == nil && !strings.Contains(fmt.Sprint(d.Source), aliceKeys) {
			t.Fatalf("by %q", d.Source)
		}
	})
}
