//go:build unix

package authorize

import (
	"slices"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authkeys"
)

// A Decision is what a login may do. The zero value grants nothing that has a
// name.
type Decision struct {
	Account *account.Account
	// Command is run whatever is asked for, also if it is empty; nil if the
	// login is free.
	Command *string
	// Service is the service that is run whatever is asked for; empty if the
	// login is not bound to one. Command is then what binds it.
	Service string
	// Exact allows commands without the login shell: it is one of those that
	// restrict nobody (shells(5)), and no command is forced.
	Exact bool
	// Environment is NAME=value, each name once: what the line sets and
	// Config.PermitUserEnvironment honours.
	Environment []string
	// VerificationRequired is for auth.VerifyOptions.
	VerificationRequired bool
	// Capabilities are what the login may use of what there is.
	authkeys.Capabilities
	// PermitOpen and PermitListen bound PortForwarding, if they are not empty.
	PermitOpen, PermitListen []string

	// What follows is for the log.

	// Fingerprint is that of the key, or of the key of the certificate.
	Fingerprint string
	// Source is the file and line, or the file, that let the key in.
	Source string
	// Certificate says that there was one; KeyID is its authority's words, which
	// are to be escaped, and Authority the fingerprint of that.
	Certificate bool
	KeyID       string
	Serial      uint64
	Authority   string
}

// everything is the decision of a line without options.
func everything() *Decision {
	return &Decision{Capabilities: authkeys.Capabilities{
		PTY: true, AgentForwarding: true, PortForwarding: true, X11Forwarding: true, UserRC: true,
	}}
}

// fromLine is what a line lets its key do.
func (p *Policy) fromLine(o *authkeys.Options) *Decision {
	d := &Decision{
		Command:              o.Command,
		VerificationRequired: o.VerifyRequired,
		Capabilities:         o.Capabilities,
		PermitOpen:           slices.Clone(o.PermitOpen),
		PermitListen:         slices.Clone(o.PermitListen),
	}
	if p.cfg.PermitUserEnvironment {
		d.Environment = slices.Clone(o.Environment)
	}
	return d
}

// restrict takes away what the certificate does not grant too.
func (d *Decision) restrict(key *auth.Key, cert *auth.CertGrant) error {
	switch {
	case cert.ForceCommand == nil:
	case d.Command != nil && *d.Command != *cert.ForceCommand:
		return errTwoCommands
	default:
		d.Command = cert.ForceCommand
	}
	d.VerificationRequired = d.VerificationRequired || cert.VerificationRequired
	d.PTY = d.PTY && cert.PTY
	d.AgentForwarding = d.AgentForwarding && cert.PermitAgentForwarding
	d.PortForwarding = d.PortForwarding && cert.PermitPortForwarding
	d.X11Forwarding = d.X11Forwarding && cert.PermitX11Forwarding
	d.UserRC = d.UserRC && cert.PermitUserRC
	d.Certificate, d.KeyID, d.Serial = true, cert.KeyID, cert.Serial
	d.Authority = key.Authority().Fingerprint()
	return nil
}
