package auth

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

func TestUserCertGrants(t *testing.T) {
	command := "uptime -p"
	all := CertGrant{
		KeyID: "an id", PTY: true, PermitAgentForwarding: true, PermitPortForwarding: true,
		PermitX11Forwarding: true, PermitUserRC: true,
	}
	for name, c := range map[string]struct {
		args []string
		want CertGrant
	}{
		"default": {nil, all},
		"serial":  {[]string{"-z", "18446744073709551615"}, with(all, func(g *CertGrant) { g.Serial = 1<<64 - 1 })},
		"clear":   {[]string{"-O", "clear"}, CertGrant{KeyID: "an id"}},
		"pty":     {[]string{"-O", "clear", "-O", "permit-pty"}, CertGrant{KeyID: "an id", PTY: true}},
		"no pty":  {[]string{"-O", "no-pty"}, with(all, func(g *CertGrant) { g.PTY = false })},
		"agent":   {[]string{"-O", "no-agent-forwarding"}, with(all, func(g *CertGrant) { g.PermitAgentForwarding = false })},
		"ports":   {[]string{"-O", "no-port-forwarding"}, with(all, func(g *CertGrant) { g.PermitPortForwarding = false })},
		"X11":     {[]string{"-O", "no-x11-forwarding"}, with(all, func(g *CertGrant) { g.PermitX11Forwarding = false })},
		"rc":      {[]string{"-O", "no-user-rc"}, with(all, func(g *CertGrant) { g.PermitUserRC = false })},
		"command": {[]string{"-O", "force-command=" + command}, with(all, func(g *CertGrant) { g.ForceCommand = &command })},
		"verify":  {[]string{"-O", "verify-required"}, with(all, func(g *CertGrant) { g.VerificationRequired = true })},
		"source":  {[]string{"-O", "source-address=192.0.2.0/24,2001:db8::/32"}, all},
		"touch":   {[]string{"-O", "no-touch-required"}, all},
		"unknown": {[]string{"-O", "extension:x@example.com=y"}, all},
	} {
		t.Run(name, func(t *testing.T) {
			cert := sshCert(t, append([]string{"-n", "alice,bob"}, c.args...)...)
			got, err := CheckUserCert(cert, UserCertQuery{
				Principals: []string{"bob"}, Source: netip.MustParseAddr("192.0.2.7"), Now: time.Now(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func with(g CertGrant, change func(*CertGrant)) CertGrant {
	change(&g)
	return g
}

func TestUserCertRefusals(t *testing.T) {
	k := newEd25519(t)
	option := func(name, value string) *ssh.Certificate {
		return &ssh.Certificate{Permissions: ssh.Permissions{CriticalOptions: map[string]string{name: value}}}
	}
	extension := func(name, value string) *ssh.Certificate {
		return &ssh.Certificate{Permissions: ssh.Permissions{Extensions: map[string]string{name: value}}}
	}
	for _, c := range []struct {
		cert *ssh.Certificate
		err  string
	}{
		{option("\x1b[2J", ""), `unknown critical option \x1b[2J`},
		{option("permit-pty", ""), "unknown critical option permit-pty"},
		{option("Force-Command", "x"), "unknown critical option"},
		{option("force-command", ""), "forced command is empty"},
		{option("force-command", "a\x00b"), "NUL"},
		{option("verify-required", "no"), "option verify-required has a value"},
		{option("source-address", ""), "not an address"},
		{extension("permit-pty", "no"), "option permit-pty has a value"},
		{extension("permit-user-rc", "\x1b"), "option permit-user-rc has a value"},
	} {
		cert := certify(t, k, k, func(made *ssh.Certificate) { made.Permissions = c.cert.Permissions })
		g, err := CheckUserCert(cert, UserCertQuery{
			Principals: []string{"alice"}, Source: netip.MustParseAddr("::1"), Now: at(1000),
		})
		wantError(t, err, "user certificate: ", c.err)
		if g != nil {
			t.Error("a grant beside the error")
		}
	}
}

func TestSourceAddress(t *testing.T) {
	for _, c := range []struct {
		list, source string
		ok           bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"10.0.0.0/8,192.0.2.0/24", "192.0.2.3", true},
		{"0.0.0.0/0", "203.0.113.1", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "203.0.113.1", false},
		{"::/0", "2001:db8::1", true},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::1", "2001:DB8:0::1", true},
		{"fe80::/10", "fe80::1%eth0", false},
		{"192.0.2.0/24", "", false},
		{"0.0.0.0/0,::/0", "", false},
		// What is not right to its end is not right.
		{"", "192.0.2.1", false},
		{",192.0.2.1", "192.0.2.1", false},
		{"192.0.2.1,", "192.0.2.1", false},
		{"192.0.2.1,,192.0.2.2", "192.0.2.1", false},
		{"192.0.2.1, 192.0.2.2", "192.0.2.1", false},
		{"192.0.2.1,junk", "192.0.2.1", false},
		{"192.0.2.1/24", "192.0.2.1", false},
		{"192.0.2.0/33", "192.0.2.0", false},
		{"192.0.2.0/-1", "192.0.2.0", false},
		{"192.0.2.0/024", "192.0.2.0", false},
		{"192.0.2.01", "192.0.2.1", false},
		{"192.0.2.*", "192.0.2.1", false},
		{"!192.0.2.1", "192.0.2.2", false},
		{"fe80::1%eth0", "fe80::1%eth0", false},
		{"localhost", "127.0.0.1", false},
	} {
		var source netip.Addr
		if c.source != "" {
			source = netip.MustParseAddr(c.source)
		}
		if err := checkSource(c.list, source); (err == nil) != c.ok {
			t.Errorf("%q from %q: %v", c.list, c.source, err)
		}
	}
	wantError(t, checkSource("1.2.3.4,\x1b", netip.MustParseAddr("1.2.3.4")), `"\x1b" is not an address`)
	wantError(t, checkSource("1.2.3.4", netip.MustParseAddr("::1")), "not for the source address ::1")
}

// Taking something away from what a certificate lists never grants more.
func TestLessGrantsNoMore(t *testing.T) {
	k := newEd25519(t)
	names := []string{
		"permit-pty", "permit-agent-forwarding", "permit-port-forwarding", "permit-X11-forwarding",
		"permit-user-rc", "no-touch-required",
	}
	restrictions := map[string]string{
		"force-command": "x", "verify-required": "", "source-address": "10.0.0.0/8", "other@example.com": "",
	}
	grant := func(principals []string, extensions, critical map[string]string) []bool {
		cert := certify(t, k, k, func(c *ssh.Certificate) {
			c.ValidPrincipals, c.Extensions, c.CriticalOptions = principals, extensions, critical
		})
		g, err := CheckUserCert(cert, UserCertQuery{
			Principals: []string{"alice"}, Source: netip.MustParseAddr("10.1.1.1"), Now: at(1000),
		})
		if err != nil {
			return make([]bool, 8)
		}
		return []bool{
			true, g.PTY, g.PermitAgentForwarding, g.PermitPortForwarding, g.PermitX11Forwarding, g.PermitUserRC,
			g.ForceCommand == nil, !g.VerificationRequired,
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		principals := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"alice", "bob", "a,b"}), rapid.ID).Draw(rt, "principals")
		extensions := map[string]string{}
		for _, n := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(rt, "extensions") {
			extensions[n] = ""
		}
		critical := map[string]string{}
		for _, n := range rapid.SliceOf(rapid.SampledFrom(slices.Sorted(maps.Keys(restrictions)))).Draw(rt, "critical") {
			critical[n] = restrictions[n]
		}
		more := grant(principals, extensions, critical)
		for n := range extensions {
			less := maps.Clone(extensions)
			delete(less, n)
			noMore(rt, grant(principals, less, critical), more)
		}
		for n, value := range restrictions {
			bound := maps.Clone(critical)
			bound[n] = value
			noMore(rt, grant(principals, extensions, bound), more)
		}
		if !slices.Contains(principals, "alice") && more[0] {
			rt.Fatal("granted to a stranger")
		}
	})
}

func noMore(t *rapid.T, less, more []bool) {
	for i := range less {
		if less[i] && !more[i] {
			t.Fatalf("%v became %v", more, less)
		}
	}
}
