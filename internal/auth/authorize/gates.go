//go:build unix

package authorize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rexec/rex/internal/account"
)

// admit lets an account through all gates that do not depend on keys. What the
// lists say about the name comes before anybody is asked for the account.
func (p *Policy) admit(ctx context.Context, user string) (*account.Account, error) {
	if err := p.admitName(user); err != nil {
		return nil, err
	}
	a, err := p.cfg.System.Lookup(ctx, user)
	switch {
	case err != nil:
		return nil, err
	case a == nil || a.Name != user:
		return nil, errors.New("the account that was found has another name")
	case p.cfg.ownUser() && a.UID != p.cfg.UID:
		return nil, fmt.Errorf("this server runs as user %d and serves nobody else", p.cfg.UID)
	case a.UID == 0 && !p.cfg.ownUser() && p.rootLogin() == RootNo:
		return nil, errors.New("root may not log in: permit_root is no")
	}
	if err := p.admitGroups(a); err != nil {
		return nil, err
	}
	return a, p.cfg.System.Admissible(ctx, a)
}

// A Doubt is why somebody whom the configuration allows cannot log in.
type Doubt struct {
	User string
	Err  error
}

// Doubts looks for users who are allowed by name and cannot log in, whatever
// their keys, as things are: they may not exist yet. It looks until ctx ends.
func (p *Policy) Doubts(ctx context.Context) []Doubt {
	var doubts []Doubt
	for _, name := range p.cfg.AllowUsers {
		_, err := p.admit(ctx, name)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			doubts = append(doubts, Doubt{name, oneLine(err)})
		}
	}
	return doubts
}

func (p *Policy) rootLogin() RootLogin {
	if p.cfg.PermitRoot == "" {
		return RootNo
	}
	return p.cfg.PermitRoot
}

func (p *Policy) admitName(user string) error {
	switch {
	case slices.Contains(p.cfg.DenyUsers, user):
		return errors.New("in deny_users")
	case len(p.cfg.AllowUsers) > 0 && !slices.Contains(p.cfg.AllowUsers, user):
		return errors.New("not in allow_users")
	case !p.cfg.ownUser() && len(p.cfg.AllowUsers)+len(p.cfg.AllowGroups) == 0:
		return errors.New("there is neither allow_users nor allow_groups")
	}
	return nil
}

// admitGroups looks at the groups as they are now. A denied one that is gone
// leaves nobody in: it could be the user's under another name.
func (p *Policy) admitGroups(a *account.Account) error {
	for _, name := range p.cfg.DenyGroups {
		switch gid, ok := p.cfg.System.GroupID(name); {
		case !ok:
			return fmt.Errorf("there is no group %s any more, which is in deny_groups", name)
		case slices.Contains(a.Groups, gid):
			return fmt.Errorf("in group %s of deny_groups", name)
		}
	}
	member := func(name string) bool {
		gid, ok := p.cfg.System.GroupID(name)
		return ok && slices.Contains(a.Groups, gid)
	}
	if len(p.cfg.AllowGroups) > 0 && !slices.ContainsFunc(p.cfg.AllowGroups, member) {
		return errors.New("in no group of allow_groups")
	}
	return nil
}

// admitRoot is the gate that depends on what the key may do.
func (p *Policy) admitRoot(d *Decision) error {
	if d.Account.UID == 0 && !p.cfg.ownUser() && p.rootLogin() != RootYes && d.Command == nil {
		return errors.New("root may log in with a forced command only")
	}
	return nil
}
