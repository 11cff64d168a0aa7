//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"fmt"
	"net"
	"os"

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
	l, err := transport.ListenTCP(context.Background(), addr, &transport.TCPListenOptions{HostKeys: keys, Authorizer: who, Log: d.log})
	if err != nil {
		return listener{}, err
	}
	return listener{Listener: l, name: l.Addr().String(), relay: d.network}, nil
}

// listenService opens an address of a service.
func (d *daemon) listenService(r *resolved, addr address, keys []*auth.HostKey) (l listener, err error) {
	var plain *transport.PlainListener
	switch {
	case r.settings.login:
		l, err = d.listenTCP(addr.tcp, keys, &gateway{&d.authorizer, r.settings.name})
	case addr.path != "":
		if plain, err = transport.ListenPlainUnix(addr.path, r.settings.mode, d.log); err == nil && r.settings.group != "" {
			err = os.Lchown(addr.path, -1, r.gid)
		}
		err = socketError(addr.path, err)
	default:
		plain, err = d.listenPlainTCP(addr.tcp, r.settings.public)
		err = servicePortError(err)
	}
	if plain != nil {
		l = listener{Listener: plain, name: plain.String(), relay: d.catalog.relayOf(r.settings.name)}
		if err != nil {
			_ = plain.Close()
		}
	}
	l.service = r.settings.name
	if err != nil {
		return l, fmt.Errorf("service %s: %w", r.settings.name, err)
	}
	return l, nil
}

// listenPlainTCP resolves a name of loopback itself: it may be another address's.
func (d *daemon) listenPlainTCP(addr string, public bool) (l *transport.PlainListener, err error) {
	if !public {
		if addr, err = loopback(addr); err != nil {
			return nil, err
		}
	}
	return transport.ListenPlainTCP(context.Background(), addr, d.log)
}

func (d *daemon) closeListeners() {
	for _, l := range d.listeners {
		if err := l.Close(); err != nil {
			d.log.Warn("closing a listener", "addr", l.name, "err", err)
		}
	}
}
