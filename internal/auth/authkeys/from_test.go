package authkeys

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFrom(t *testing.T) {
	for _, c := range []struct {
		list, source string
		want         bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.10", false},
		{"192.0.2.0/24", "192.0.2.200", true},
		{"192.0.2.0/24", "192.0.3.1", false},
		{"0.0.0.0/0", "192.0.2.1", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "192.0.2.1", false},
		{"2001:DB8::/32", "2001:db8::1", true},
		{"2001:0db8:0:0::1", "2001:db8::1", true},
		{"198.51.100.1,192.0.2.1", "192.0.2.1", true},
		{"192.0.2.*", "192.0.2.7", true},
		{"192.0.2.?", "192.0.2.17", false},
		{"192.*.1", "192.0.2.1", true},
		{"*", "192.0.2.1", true},
		{"*", "2001:db8::1", true},
		{"2001:DB8:*", "2001:db8::1", true},
		{"2001*", "2001:db8::1", true},
		// Names match nothing.
		{"host.example", "192.0.2.1", false},
		{"*.example", "192.0.2.1", false},
		{"host.example,192.0.2.1", "192.0.2.1", true},
		// A negation denies, wherever it is, and grants nothing.
		{"!192.0.2.1,*", "192.0.2.1", false},
		{"*,!192.0.2.1", "192.0.2.1", false},
		{"*,!192.0.2.0/24", "::ffff:192.0.2.1", false},
		{"*,!192.0.2.*", "192.0.2.1", false},
		{"*,!198.51.100.1", "192.0.2.1", true},
		{"*,!198.51.*", "192.0.2.1", true},
		{"*,!2001:db8:*", "192.0.2.1", true},
		{"*,!2001:DB8:*", "2001:db8::1", false},
		{"!198.51.100.1", "192.0.2.1", false},
		{"!*", "192.0.2.1", false},
		{"!!192.0.2.1", "192.0.2.1", false},
		{"*,!::/0", "192.0.2.1", true},
		// A negated name may be that of the source.
		{"*,!host.example", "192.0.2.1", false},
		{"*,!*.example", "192.0.2.1", false},
		{"*,!cafe.de", "192.0.2.1", false},
		{"*,!1and1.de", "192.0.2.1", false},
		{"*,!cafe*", "192.0.2.1", false},
		// IPv6 forms of IPv4 addresses deny but do not grant.
		{"::ffff:192.0.2.1", "192.0.2.1", false},
		{"::ffff:0:0/96", "192.0.2.1", false},
		{"*,!::ffff:192.0.2.1", "192.0.2.1", false},
		{"*,!::ffff:192.0.2.0/120", "192.0.2.1", false},
		{"*,!::ffff:192.0.2.0/120", "192.0.3.1", true},
		// A zone keeps an address out of networks that grant.
		{"fe80::/10", "fe80::1%eth0", false},
		{"fe80::*", "fe80::1%eth0", true},
		{"*,!fe80::/10", "fe80::1%eth0", false},
		{"*,!fe80::1", "fe80::1%eth0", false},
	} {
		list, err := parseFrom(c.list)
		if err != nil {
			t.Errorf("%s: %v", c.list, err)
			continue
		}
		err = checkFrom(list, netip.MustParseAddr(c.source))
		if got := err == nil; got != c.want {
			t.Errorf("%s from %s: %v, want %v: %v", c.source, c.list, got, c.want, err)
		}
	}
}

func TestBadFrom(t *testing.T) {
	for _, in := range []string{
		"", ",", "*,", ",*", "!", "*,!", "*,!,", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1",
		"192.0.2.0/024", "192.0.2.0/255.255.255.0", "2001:db8::1/32", "::/129", "fe80::1%eth0", "1:2", "a/b", "!a/b",
		"127.1", "0177.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "!127.1", "192.0.2.1 ", " 192.0.2.1", "256.0.0.1",
	} {
		if list, err := parseFrom(in); err == nil {
			t.Errorf("%q is %v", in, list)
		}
	}
}

func TestFromNowhere(t *testing.T) {
	list, err := parseFrom("*")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkFrom(list, netip.Addr{}); err == nil {
		t.Error("a source without an address is let in")
	}
}

func TestGlob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab.?*]{0,12}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab.]{0,12}`).Draw(t, "string")
		re := strings.NewReplacer(".", `\.`, "?", ".", "*", ".*").Replace(pattern)
		if want := regexp.MustCompile("^" + re + "$").MatchString(s); glob(pattern, s) != want {
			t.Fatalf("%q matches %q: %v", pattern, s, !want)
		}
	})
}
