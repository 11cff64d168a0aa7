//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/rexec/rex/internal/service"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// A catalog has the services of a daemon by their names, and what runs them. Its
// methods may be called concurrently, but set.
//
// It owns a relay for each service, whose server counts everybody who runs it.
// Whoever made the catalog shuts all of them down, and closes the handler.
type catalog struct {
	handler *execd.Handler // of everything that rexd runs
	log     *slog.Logger

	mu     sync.Mutex
	offers map[string]*offer
	relays relays // of services that are gone too
}

// An offer is a service that can be had.
type offer struct {
	service *execd.Service
	relay   *relay // of plain connections
	from    resolved
}

func (p *program) newCatalog(s *settings, services []resolved, log *slog.Logger) (c *catalog, err error) {
	c = &catalog{log: log}
	opts := p.handlerOptions(s)
	opts.Log, opts.Services = log, c.find
	if c.handler, err = execd.New(opts); err != nil {
		return nil, err
	}
	c.set(services)
	return c, nil
}

// find implements [execd.Options.Services].
func (c *catalog) find(name string) (*execd.Service, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.offers[name]
	if !ok {
		return nil, false
	}
	return o.service, true
}

// relayOf is the relay of a service, nil if there is none of that name.
func (c *catalog) relayOf(name string) *relay {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.offers[name]; o != nil {
		return o.relay
	}
	return nil
}

// all are the relays of all services that there were.
func (c *catalog) all() relays {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.relays)
}

// set offers these services from now on. One that has not changed stays as it
// is; what runs of the others goes on as it began, and does not count any more.
// It returns the names of those that are gone.
func (c *catalog) set(services []resolved) (gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.offers
	c.offers = make(map[string]*offer)
	for _, r := range services {
		o := old[r.settings.name]
		delete(old, r.settings.name)
		if o == nil || !reflect.DeepEqual(o.from, r) {
			o = c.offerLocked(r, o)
		}
		c.offers[r.settings.name] = o
	}
	for _, o := range old {
		o.relay.retire()
	}
	return slices.Sorted(maps.Keys(old))
}

// offerLocked makes the offer of a service, in place of an older one if that is
// not nil.
func (c *catalog) offerLocked(r resolved, old *offer) *offer {
	program := r.service
	runner := &service.Service{
		Name: program.Name, Limits: r.settings.limits, Linger: r.settings.linger, Log: c.log,
		Start: func(ctx context.Context, client service.Client) (session.Process, error) {
			return c.handler.StartService(ctx, &program, addrPort(client.Remote), addrPort(client.Local))
		},
	}
	program.Enter = func(peer session.Peer) (func(), error) { return runner.Enter(sourceOf(peer)) }
	o := &offer{service: &program, from: r}
	if old != nil {
		o.relay = old.relay
		o.relay.renew(runner)
		return o
	}
	o.relay = newRelay(runner)
	c.relays = append(c.relays, o.relay)
	return o
}

// sourceOf is what a session counts as: its network, or on a Unix socket the
// only user who can log in there.
func sourceOf(peer session.Peer) string {
	var remote netip.Addr
	if l, ok := peer.Login.(*execd.Login); ok {
		remote = l.Remote.Addr()
	}
	return transport.Source(remote, os.Geteuid())
}

// addrPort is not valid for what is no address of TCP.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// A resolved is a service whose accounts and groups are known.
type resolved struct {
	settings serviceSettings
	service  execd.Service
	gid      int // of settings.group; -1 if there is none
}

// services finds the accounts and groups that services name.
func (h *host) services(ctx context.Context, s *settings) ([]resolved, error) {
	var list []resolved
	for i, one := range s.services {
		r, err := h.service(ctx, one)
		if err != nil {
			doc, _ := readConfig(s.file) // for the place alone
			return nil, valueError(s.file, doc, place{i + 1, err.key}, err.hint, err.err)
		}
		list = append(list, *r)
	}
	return list, nil
}

func (h *host) service(ctx context.Context, s serviceSettings) (*resolved, *accountError) {
	r := &resolved{settings: s, gid: -1, service: execd.Service{
		Name: s.name, Argv: s.command, Dir: s.dir, Env: s.env, Terminal: s.pty, Users: s.allowUsers,
		Limits: execd.Limits{Idle: max(s.limits.Idle, 0), Total: max(s.limits.Total, 0), Input: s.limits.Input, Output: s.limits.Output},
	}}
	var err *accountError
	if r.service.Login, err = h.serviceUser(ctx, s); err != nil {
		return nil, err
	}
	system := h.system(false)
	for _, name := range s.allowGroups {
		gid, ok := system.GroupID(name)
		if !ok {
			return nil, &accountError{"allow_groups", "getent group", fmt.Errorf("there is no group %q", name)}
		}
		r.service.Groups = append(r.service.Groups, gid)
	}
	if s.group != "" {
		ok := false
		if r.gid, ok = system.GroupID(s.group); !ok {
			return nil, &accountError{"group", "getent group", fmt.Errorf("there is no group %q", s.group)}
		}
	}
	return r, nil
}

// An accountError is about a key that names who does not exist or may not.
type accountError struct {
	key, hint string
	err       error
}

// serviceUser is whom a service runs as, nil for whoever asks.
func (h *host) serviceUser(ctx context.Context, s serviceSettings) (*execd.Login, *accountError) {
	plain := len(s.listen) > 0 && !s.login
	switch {
	case s.user == "" && h.uid == 0 && plain:
		return nil, &accountError{"listen", `user = "nobody", or another account`, fmt.Errorf("nobody logs in at %q, so it must be said who runs the program", s.listen[0])}
	case s.user == "":
		return nil, nil
	}
	a, err := h.system(false).Lookup(ctx, s.user)
	switch {
	case err != nil:
		return nil, &accountError{"user", "getent passwd " + shellQuote(s.user), fmt.Errorf("%q: %w", s.user, err)}
	case h.uid != 0 && a.UID != h.uid:
		return nil, &accountError{"user", "leave it out, or have root's rexd run the service", fmt.Errorf("this rexd runs as user %d and cannot run programs as %q", h.uid, s.user)}
	case h.uid != 0:
		return nil, nil
	case a.UID == 0 && s.user != "root":
		return nil, &accountError{"user", `user = "root", if that is meant`, fmt.Errorf("%q is root under another name", s.user)}
	}
	return &execd.Login{User: a.Name, UID: a.UID, GID: a.GID, Groups: a.Groups, Home: a.Home, Shell: a.Shell}, nil
}
