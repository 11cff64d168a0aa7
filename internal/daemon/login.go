//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/rexec/rex/internal/auth/authorize"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session/execd"
)

// An authorizer is the policy of this moment, as a transport asks for it. Its
// methods may be called concurrently.
type authorizer struct {
	policy atomic.Pointer[authorize.Policy]
}

// Authorize implements [transport.Authorizer].
func (a *authorizer) Authorize(ctx context.Context, at *transport.Attempt) (*transport.Grant, error) {
	return a.authorize(ctx, at, "")
}

// A gateway is the policy at an address where everybody is bound to a service.
type gateway struct {
	*authorizer
	service string
}

// Authorize implements [transport.Authorizer].
func (g *gateway) Authorize(ctx context.Context, at *transport.Attempt) (*transport.Grant, error) {
	return g.authorize(ctx, at, g.service)
}

// authorize asks the policy, and binds the login to a service if one is named.
// Root's files are at risk if this process is attacked by a key that it parses,
// so nothing is done with one beyond what the policy does.
func (a *authorizer) authorize(ctx context.Context, at *transport.Attempt, service string) (*transport.Grant, error) {
	policy := a.policy.Load()
	if policy == nil {
		return nil, errors.New("there is no policy yet")
	}
	d, err := policy.Authorize(ctx, at.User, at.Key, at.Remote, at.Local)
	if err == nil && service != "" {
		err = d.Bind(service)
	}
	if err != nil {
		return nil, err
	}
	return &transport.Grant{
		Login:                &granted{login: newLogin(d, at.Remote, at.Local), decision: d},
		VerificationRequired: d.VerificationRequired,
	}, nil
}

// A granted is what was granted to a login, and for the log why.
type granted struct {
	login    *execd.Login
	decision *authorize.Decision
}

// newLogin is a decision in the words of who runs commands.
func newLogin(d *authorize.Decision, remote, local netip.AddrPort) *execd.Login {
	a := d.Account
	return &execd.Login{
		User: a.Name, UID: a.UID, GID: a.GID, Groups: a.Groups, Home: a.Home, Shell: a.Shell,
		Command: d.Command, Service: d.Service, PTY: d.PTY, Exact: d.Exact, Environment: d.Environment,
		Local: local, Remote: remote,
	}
}

// A loginConn is a connection whose login is logged.
type loginConn struct {
	*transport.ServerConn
	log *slog.Logger
}

// Handshake logs a login that succeeded; one that did not is the server's to
// log.
func (c *loginConn) Handshake(ctx context.Context) error {
	err := c.ServerConn.Handshake(ctx)
	if g, ok := c.ServerConn.Login().(*granted); ok && err == nil {
		c.log.Info("login", g.attrs(c.RemoteAddr().String())...)
	}
	return err
}

// Login is what the login was granted, and never nil: that would be the user of
// this process.
func (c *loginConn) Login() any {
	if g, ok := c.ServerConn.Login().(*granted); ok {
		return g.login
	}
	return &execd.Login{} // is refused
}

// attrs say who logged in from where, how, and what let them in.
func (g *granted) attrs(peer string) []any {
	d := g.decision
	attrs := []any{"user", d.Account.Name, "peer", peer, "key", d.Fingerprint, "authorized_by", d.Source}
	if d.Certificate {
		attrs = append(attrs, "certificate", d.KeyID, "serial", d.Serial, "authority", d.Authority)
	}
	if d.Command != nil {
		attrs = append(attrs, "forced_command", *d.Command)
	}
	if d.Service != "" {
		attrs = append(attrs, "service", d.Service)
	}
	var without []string
	if !d.PTY {
		without = append(without, "pty")
	}
	if !d.Exact {
		without = append(without, "exact")
	}
	if len(without) > 0 {
		attrs = append(attrs, "without", strings.Join(without, ","))
	}
	return attrs
}
