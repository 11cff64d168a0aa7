//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"maps"
	"reflect"
	"slices"
)

// reload reads the configuration again and applies what can be changed while
// rexd runs; who may log in counts for logins from now on. A bad one changes
// nothing.
func (d *daemon) reload() {
	next, err := loadSettings(d.program.flags, d.program.env.Getenv, true)
	var services []resolved
	if err == nil {
		d.keepFixed(next) // first: a service that still listens must be one that may
		services, err = thisHost().services(context.Background(), next)
	}
	if err == nil {
		err = d.reloadNetwork(next)
	}
	if err != nil {
		d.log.Error("configuration not reloaded, the old one stays", "err", err)
		return
	}
	old := d.settings
	d.settings = next
	d.level.Set(next.level)
	if next.maxCommands != old.maxCommands {
		d.local.renew(d.sessions(next.localCommands()))
		d.network.renew(d.sessions(next.networkCommands()))
	}
	d.reloadServices(services)
	d.log.Info("configuration reloaded", "file", next.file, "log_level", next.level.String(),
		"max_commands", next.localCommands(), "drain", next.drain.String(), "services", len(services))
}

// keepFixed keeps what counts from the next start on only.
func (d *daemon) keepFixed(next *settings) {
	old := d.settings
	for _, fixed := range []struct {
		key     string
		changed bool
	}{
		{"listen", !slices.Equal(old.listen, next.listen)},
		{"tree", old.tree != next.tree},
		{"host_keys", !slices.Equal(old.login.hostKeys, next.login.hostKeys)},
	} {
		if fixed.changed {
			d.log.Warn("a changed key counts from the next start on only", "key", fixed.key)
		}
	}
	next.listen, next.tree, next.login.hostKeys = old.listen, old.tree, old.login.hostKeys
	for i := range next.services {
		d.keepEndpoints(&next.services[i])
	}
	d.keepKeys(next)
}

// keepKeys keeps the keys bound that are bound to no service any more: who
// removes or renames one does not mean to let its keys do everything.
func (d *daemon) keepKeys(next *settings) {
	old, bound := d.settings.serviceKeys(), next.serviceKeys()
	next.keptKeys = make(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if bound[key] == "" {
			d.log.Warn("a key stays bound to its service until the next start, and is free then", "key", key, "service", old[key])
			next.keptKeys[key] = old[key]
		}
	}
}

// keepEndpoints keeps where a service listens.
func (d *daemon) keepEndpoints(next *serviceSettings) {
	var old endpoints
	for _, one := range d.settings.services {
		if one.name == next.name {
			old = one.endpoints
		}
	}
	if !reflect.DeepEqual(old, next.endpoints) {
		d.log.Warn("where a service listens counts from the next start on only", "service", next.name)
	}
	next.endpoints = old
}

// reloadServices offers the services anew. Who is connected stays so; where one
// listens that is gone nobody is let in any more.
func (d *daemon) reloadServices(services []resolved) {
	gone := d.catalog.set(services)
	for _, l := range d.listeners {
		if slices.Contains(gone, l.service) {
			d.log.Info("not listening any more", "addr", l.name, "service", l.service)
			_ = l.Close()
		}
	}
	d.listeners = slices.DeleteFunc(d.listeners, func(l listener) bool { return slices.Contains(gone, l.service) })
}

// reloadNetwork decides anew who may log in.
func (d *daemon) reloadNetwork(next *settings) error {
	if len(next.onNetwork()) == 0 {
		return nil
	}
	n, err := newNetwork(context.Background(), next)
	if err != nil {
		return err
	}
	n.log(d.log)
	d.authorizer.policy.Store(n.policy)
	return nil
}
