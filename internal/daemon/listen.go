//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
)

// A listener accepts connections for a relay.
type listener struct {
	net.Listener
	name    string // with the port that it really has
	relay   *relay
	service string // to which it leads; empty: to all that a login may
}

// listen opens all sockets or none.
func (d *daemon) listen(keys []*auth.HostKey, services []resolved) error {
	for _, addr := range d.settings.listen {
		open := func() (listener, error) { return d.listenTCP(addr.tcp, keys, &d.authorizer) }
		if addr.path != "" {
			open = func() (listener, error) { return d.listenUnix(addr.path) }
		}
		if err := d.open(open); err != nil {
			return err
		}
	}
	for _, r := range services {
		for _, addr := range r.settings.listen {
			if err := d.open(func() (listener, error) { return d.listenService(&r, addr, keys) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// open adds a listener, or closes all.
func (d *daemon) open(open func() (listener, error)) error {
	l, err := open()
	if err != nil {
		d.closeListeners()
		return err
	}
	d.listeners = append(d.listeners, l)
	return nil
}

func (d *daemon) listenUnix(path string) (listener, error) {
	l, err := transport.ListenUnix(path, transport.UnixOptions{Log: d.log})
	if err != nil {
		return listener{}, socketError(path, err)
	}
	return listener{Listener: l, name: "unix:" + l.Addr().String(), relay: d.local}, nil
}

func (d *daemon) listenTCP(addr string, keys []*auth.HostKey, who transport.Authorizer) (listener, error) {
	l, err := transport.ListenTCP(context.Background(), addr, &transport.TCPListenOptions{
		HostKeys: keys, Authorizer: who, Listen: d.program.env.Listen, Log: d.log,
	})
	if err != nil {
		return listener{}, err
	}
	return listener{Listener: l, name: l.Addr().String(), relay: d.network}, nil
}

// listenService opens an address of a service.
func (d *daemon) listenService(r *resolved, addr address, keys []*auth.HostKey) (l listener, err error) {
	if r.settings.login {
		l, err = d.listenTCP(addr.tcp, keys, &gateway{&d.authorizer, r.settings.name})
	} else {
		l, err = d.listenPlain(r, addr)
	}
	if err != nil && addr.path == "" {
		err = anotherPort(err)
	}
	if err != nil {
		return l, fmt.Errorf("service %s: %w", r.settings.name, err)
	}
	l.service = r.settings.name
	return l, nil
}

// listenPlain opens one where nobody logs in. A name of loopback is resolved
// here: it may be another address's.
func (d *daemon) listenPlain(r *resolved, addr address) (listener, error) {
	var l *transport.PlainListener
	var err error
	if addr.path != "" {
		l, err = transport.ListenPlainUnix(addr.path, r.settings.mode, r.gid, d.log)
		err = socketError(addr.path, err)
	} else {
		l, err = listenPlainTCP(addr.tcp, r.settings.public, d.log)
	}
	if err != nil {
		return listener{}, err
	}
	return listener{Listener: l, name: l.String(), relay: d.catalog.relayOf(r.settings.name)}, nil
}

// anotherPort knows what to do about an address of a service that cannot be had,
// in the words of the configuration.
func anotherPort(err error) error {
	if e, ok := errors.AsType[*notLoopbackError](err); ok {
		return usageErrorf(fmt.Sprintf(`listen = ["127.0.0.1:%d"] keeps it to this host; `, e.port)+hintPublic, "%w", err)
	}
	return ofKeys.explain(err)
}

var ofKeys = portHints{
	inUse:      "stop what listens there (ss -ltnp shows it), or give the service another port",
	elsewhere:  "this host does not have that address: ip address lists those it has",
	unresolved: `name an address of this host: listen = ["127.0.0.1:9999"]`,
	privileged: "only root may listen on ports below 1024: give the service another port",
}

func (d *daemon) closeListeners() {
	for _, l := range d.listeners {
		if err := l.Close(); err != nil {
			d.log.Warn("closing a listener", "addr", l.name, "err", err)
		}
	}
}
