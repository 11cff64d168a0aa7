package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A UserCertQuery is what a user certificate is asked: does it let one of
// Principals in, from Source, at Now?
type UserCertQuery struct {
	Principals []string   // any one of these must be in the certificate, byte for byte
	Source     netip.Addr // of the client; the zero value is none, as on a Unix socket
	Now        time.Time
}

// A CertGrant is what a certificate lets its user do. What it does not name is
// not granted.
type CertGrant struct {
	KeyID                string // the authority's words: to be escaped
	Serial               uint64
	ForceCommand         *string // replaces the user's command; nil if free
	VerificationRequired bool    // for VerifyOptions

	PTY                   bool
	PermitAgentForwarding bool
	PermitPortForwarding  bool
	PermitX11Forwarding   bool
	PermitUserRC          bool
}

// CheckUserCert says whether cert is a user certificate that q can use: of type
// user, signed by its authority with an algorithm that [CheckAlgorithm]
// accepts, within its dates, for one of the principals, and with no critical
// options but force-command, source-address and verify-required, which must be
// well formed and, as to the source, satisfied. A certificate without
// principals is for nobody. no-touch-required has no effect.
//
// Whether the authority is trusted or anything revoked is the caller's to know;
// the grant is of no use without it.
func CheckUserCert(cert *Key, q UserCertQuery) (*CertGrant, error) {
	c, err := checkCert(cert, ssh.UserCert, q.Now)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.ValidPrincipals, func(p string) bool { return slices.Contains(q.Principals, p) }) {
		return nil, errors.New("user certificate: none of its principals may log in here")
	}
	g := &CertGrant{KeyID: c.KeyId, Serial: c.Serial}
	for name, value := range c.CriticalOptions {
		if err := g.restrict(name, value, q.Source); err != nil {
			return nil, fmt.Errorf("user certificate: %w", err)
		}
	}
	for name, value := range c.Extensions {
		if err := g.permit(name, value); err != nil {
			return nil, fmt.Errorf("user certificate: %w", err)
		}
	}
	return g, nil
}

// restrict applies a critical option. One that is not known could be any
// restriction.
func (g *CertGrant) restrict(name, value string, source netip.Addr) error {
	switch name {
	case "force-command":
		if value == "" || strings.ContainsRune(value, 0) {
			return errors.New("its forced command is empty or has a NUL byte")
		}
		g.ForceCommand = &value
		return nil
	case "source-address":
		return checkSource(value, source)
	case "verify-required":
		g.VerificationRequired = true
		return flag(name, value)
	}
	return fmt.Errorf("unknown critical option %s", Printable(name))
}

// permit applies an extension. One that is not known grants nothing.
func (g *CertGrant) permit(name, value string) error {
	var known *bool
	switch name {
	case "permit-pty":
		known = &g.PTY
	case "permit-agent-forwarding":
		known = &g.PermitAgentForwarding
	case "permit-port-forwarding":
		known = &g.PermitPortForwarding
	case "permit-X11-forwarding":
		known = &g.PermitX11Forwarding
	case "permit-user-rc":
		known = &g.PermitUserRC
	default:
		return nil
	}
	*known = true
	return flag(name, value)
}

// flag refuses the value of an option that has none.
func flag(name, value string) error {
	if value != "" {
		return fmt.Errorf("option %s has a value", name)
	}
	return nil
}

// checkSource demands that source is in a list of addresses and CIDR ranges,
// which must be right to its end.
func checkSource(list string, source netip.Addr) error {
	source = source.Unmap()
	inside := false
	for entry := range strings.SplitSeq(list, ",") {
		prefix, err := parseRange(entry)
		if err != nil {
			return err
		}
		inside = inside || prefix.Contains(source)
	}
	switch {
	case !source.IsValid():
		return errors.New("it is for certain source addresses, and this connection has none")
	case !inside:
		return fmt.Errorf("it is not for the source address %s", source)
	}
	return nil
}

// parseRange reads an address or a CIDR range without bits beyond its length.
func parseRange(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("source address \"%s\" is not an address or a range", Printable(s))
	}
	return p, nil
}
