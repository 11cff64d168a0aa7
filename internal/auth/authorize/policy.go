//go:build unix

package authorize

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authkeys"
	"github.com/rexec/rex/internal/auth/revoked"
)

// A Policy decides about logins. It does not change; what it reads is read for
// every decision. Its methods may be called concurrently.
type Policy struct {
	cfg     Config
	revoked *cached[*revoked.List] // nil: none
	trusted *cached[[]*auth.Key]   // nil: none
}

// New returns the policy of a configuration. It fails if the configuration is
// wrong, or if a file that it names cannot be read now.
func New(cfg Config) (*Policy, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.AllowUsers, cfg.AllowGroups = slices.Clone(cfg.AllowUsers), slices.Clone(cfg.AllowGroups)
	cfg.DenyUsers, cfg.DenyGroups = slices.Clone(cfg.DenyUsers), slices.Clone(cfg.DenyGroups)
	cfg.AuthorizedKeys, cfg.ServiceKeys = slices.Clone(cfg.AuthorizedKeys), maps.Clone(cfg.ServiceKeys)
	switch {
	case len(cfg.AuthorizedKeys) == 0:
		cfg.AuthorizedKeys = DefaultAuthorizedKeys()
	case len(cfg.AuthorizedKeys) == 1 && cfg.AuthorizedKeys[0] == "none":
		cfg.AuthorizedKeys = nil
	}
	if err := cfg.checkGroups(); err != nil {
		return nil, err
	}
	p := &Policy{cfg: cfg}
	if path := cfg.RevokedKeys; path != "" {
		p.revoked = &cached[*revoked.List]{key: "revoked_keys", path: path, limit: revoked.MaxFile, parse: revoked.Parse}
	}
	if path := cfg.TrustedUserCAKeys; path != "" {
		p.trusted = &cached[[]*auth.Key]{key: "trusted_user_ca_keys", path: path, limit: authkeys.MaxFile, parse: parseAuthorities}
	}
	if err := p.load(); err != nil {
		return nil, oneLine(err)
	}
	return p, nil
}

// load reads the administrator's files once.
func (p *Policy) load() error {
	_, err := p.revoked.get(p.cfg.System)
	_, trustedErr := p.trusted.get(p.cfg.System)
	return errors.Join(err, trustedErr)
}

// An attempt is a login that is asked for.
type attempt struct {
	user   string
	key    *auth.Key
	source netip.Addr
}

// Authorize decides whether whoever proves to hold the key may log in as user,
// which must pass proto.CheckUser. The error says the true reason in one
// printable line; it is for the log and must not reach the peer.
//
// It does the same for a user who does not exist or may not log in, as far as
// that has a cost: files are looked for and searched for the key.
func (p *Policy) Authorize(ctx context.Context, user string, key *auth.Key, remote, _ netip.AddrPort) (*Decision, error) {
	at := &attempt{user, key, remote.Addr().Unmap()}
	if err := auth.CheckAlgorithm(key); err != nil {
		return nil, err
	}
	a, gate := p.admit(ctx, user)
	if gate != nil {
		a = p.decoy()
	}
	d, err := p.decide(ctx, at, a)
	switch {
	case gate != nil:
		return nil, oneLine(gate)
	case err != nil:
		return nil, oneLine(err)
	}
	d.Account, d.Fingerprint = a, key.Fingerprint()
	if err := p.bind(d, key); err != nil {
		return nil, oneLine(err)
	}
	d.Exact = d.Command == nil && p.cfg.System.UnrestrictedShell(a.Shell)
	if err := p.admitRoot(d); err != nil {
		return nil, err
	}
	return d, ctx.Err()
}

// decoy is an account to look for files of when there is none to do it for. It
// has no name.
func (p *Policy) decoy() *account.Account {
	uid := p.cfg.decoyUID()
	return &account.Account{UID: uid, GID: uid, Groups: []int{uid}, Home: "/nonexistent", Shell: "/nonexistent"}
}

// decoyLines are read as if they were the files of a decoy.
const decoyLines = "# nobody has this key\nrestrict,from=\"192.0.2.1\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"

// decide is about the key alone.
func (p *Policy) decide(ctx context.Context, at *attempt, a *account.Account) (*Decision, error) {
	if err := p.checkRevoked(at.key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := p.read(ctx, a)
	if a.Name == "" {
		b.add("", []byte(decoyLines))
	}
	d, err := p.byLine(at, b)
	switch {
	case err == nil:
		return d, nil
	case b.trouble != nil:
		return nil, fmt.Errorf("%w; %w", err, b.trouble)
	case !at.key.IsCert() || !errors.Is(err, errNoLine):
		return nil, err
	}
	d, authorityErr := p.byAuthority(at)
	if authorityErr != nil {
		return nil, fmt.Errorf("%w; %w", err, authorityErr)
	}
	return d, nil
}

func (p *Policy) checkRevoked(key *auth.Key) error {
	list, err := p.revoked.get(p.cfg.System)
	if err != nil {
		return err
	}
	return list.Check(key)
}

// byLine decides by the first line of the user's files that counts.
func (p *Policy) byLine(at *attempt, b *book) (*Decision, error) {
	want := at.key
	if at.key.IsCert() {
		want = at.key.Authority()
	}
	entries, problems, err := b.parse(want)
	if err != nil {
		return nil, err
	}
	var reasons []error
	for e, err := range authkeys.All(entries, at.key, at.source, p.cfg.System.Now()) {
		if len(reasons) == maxLines {
			return nil, fmt.Errorf("%w; more than %d such lines", errors.Join(reasons...), maxLines)
		}
		var d *Decision
		if err == nil {
			d, err = p.grant(at, e)
		}
		if err == nil {
			d.Source = b.place(e.Line)
			return d, nil
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", b.place(e.Line), err))
	}
	if len(reasons) == 0 {
		return nil, fmt.Errorf("%w: %w", errNoLine, b.absent(problems))
	}
	return nil, fmt.Errorf("%w: %w", errNoLine, errors.Join(reasons...))
}

// grant is what a line grants, and the certificate if the line is about one.
func (p *Policy) grant(at *attempt, e *authkeys.Entry) (*Decision, error) {
	d := p.fromLine(&e.Options)
	if !at.key.IsCert() {
		return d, nil
	}
	principals := e.Options.Principals
	if principals == nil {
		principals = []string{at.user}
	}
	cert, err := p.checkCert(at, principals)
	if err != nil {
		return nil, err
	}
	return d, d.restrict(at.key, cert)
}

// byAuthority decides about a certificate by the authorities of this host.
func (p *Policy) byAuthority(at *attempt) (*Decision, error) {
	if p.trusted == nil {
		return nil, errors.New("there is no trusted_user_ca_keys")
	}
	authorities, err := p.trusted.get(p.cfg.System)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(authorities, at.key.Authority().Equal) {
		return nil, fmt.Errorf("the authority %s is not trusted", at.key.Authority().Fingerprint())
	}
	cert, err := p.checkCert(at, []string{at.user})
	if err != nil {
		return nil, err
	}
	d := everything()
	d.Source = p.trusted.path
	return d, d.restrict(at.key, cert)
}

func (p *Policy) checkCert(at *attempt, principals []string) (*auth.CertGrant, error) {
	return auth.CheckUserCert(at.key, auth.UserCertQuery{Principals: principals, Source: at.source, Now: p.cfg.System.Now()})
}
