package authkeys

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A Pattern is one of a from= list: an address, a network, an address with
// wildcards, or the name of a host. No name is ever looked up, so one matches
// nothing; negated it denies, for it might be the source's.
type Pattern struct {
	text    string // in lower case, without the !
	negated bool
	network netip.Prefix // invalid: the text is compared
}

func (p Pattern) String() string {
	if p.negated {
		return "!" + p.text
	}
	return p.text
}

// parseFrom refuses what makes sshd deny or what only C libraries take for an
// address: a network with bits behind its mask, an octal number, 127.1.
func parseFrom(value string) ([]Pattern, error) {
	var list []Pattern
	for text := range strings.SplitSeq(strings.ToLower(value), ",") {
		text, negated := strings.CutPrefix(text, "!")
		p := Pattern{text: text, negated: negated}
		if text == "" {
			return nil, errors.New("an empty pattern")
		}
		if !strings.ContainsAny(text, "*?") {
			var err error
			if p.network, err = parseNetwork(text); err != nil {
				return nil, err
			}
		}
		if a := p.network.Addr(); negated && a.Is4In6() {
			// A source is never in this form. Where the pattern grants, it grants
			// nothing, as in sshd; but it denies.
			p.network = netip.PrefixFrom(a.Unmap(), p.network.Bits()-96)
		}
		list = append(list, p)
	}
	return list, nil
}

// parseNetwork reads an address or a network. The zero Prefix is a host's name.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err == nil && p == p.Masked():
		return p, nil
	case err == nil:
		return p, fmt.Errorf("network %.64q has bits behind its mask", text)
	case strings.ContainsAny(text, ":/% \t") || numeric(text):
		return p, fmt.Errorf("bad address %.64q", text)
	}
	return netip.Prefix{}, nil
}

// numeric reports whether inet_aton(3) could take it for an address.
func numeric(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		set := "0123456789"
		if hex, ok := strings.CutPrefix(part, "0x"); ok {
			part, set = hex, "0123456789abcdef"
		}
		if strings.Trim(part, set) != "" {
			return false
		}
	}
	return true
}

// checkFrom wants a pattern that grants and none that denies.
func checkFrom(list []Pattern, source netip.Addr) error {
	source = source.Unmap()
	plain := source.WithZone("")
	if !source.IsValid() {
		return errors.New("from: the source has no address")
	}
	granted := false
	for _, p := range list {
		switch {
		case p.negated && (p.matches(source) || p.matches(plain)):
			return fmt.Errorf("from: %.64q excludes %s", p, plain)
		case p.negated && p.isName():
			return fmt.Errorf("from: %.64q may exclude %s, and names are not looked up", p, plain)
		}
		granted = granted || !p.negated && p.matches(source)
	}
	if !granted {
		return fmt.Errorf("from: no pattern matches %s", plain)
	}
	return nil
}

// matches is what sshd does without UseDNS. An address with a zone is in no
// network.
func (p Pattern) matches(source netip.Addr) bool {
	if p.network.IsValid() {
		return p.network.Contains(source)
	}
	return glob(p.text, source.String())
}

// isName reports whether it can be no address with wildcards.
func (p Pattern) isName() bool {
	ipv4 := strings.Trim(p.text, "0123456789.*?") == ""
	ipv6 := strings.Trim(p.text, "0123456789abcdef:*?") == "" && strings.Contains(p.text, ":")
	return !p.network.IsValid() && !ipv4 && !ipv6
}

// glob matches a whole string; * is any number of bytes and ? is one. It takes
// time by the product of the lengths, not more.
func glob(pattern, s string) bool {
	star, from, i := -1, 0, 0 // the last *, and where in s what follows it is tried
	for j := 0; j < len(s); {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
