//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// hintNoAddress is for somebody who starts rexd for the first time.
const hintNoAddress = "rexd --listen unix:/run/rex/rexd.sock, or listen = [...] in the configuration"

// errAbandoned says that rexd went before its commands did, because it was
// told so three times.
var errAbandoned = errors.New("stopped without waiting for the commands to end")

// A daemon is rexd while it listens.
//
// Its goroutines: one for each listener, which ends when that is closed; those
// of the relays. run waits for all of them.
type daemon struct {
	program    *program
	settings   *settings
	level      *slog.LevelVar
	log        *slog.Logger
	authorizer authorizer
	catalog    *catalog
	local      *relay // of sessions on sockets
	network    *relay // of sessions over TCP
	listeners  []listener
	accepting  sync.WaitGroup
	failed     chan error // of a listener
}

// serve listens until a signal ends it.
func (p *program) serve() error {
	s, err := loadSettings(p.flags, p.env.Getenv, true)
	if err != nil {
		return err
	}
	if !s.listens() {
		return usageErrorf(hintNoAddress, "no address to listen on")
	}
	services, err := thisHost().services(context.Background(), s)
	if err != nil {
		return err
	}
	syscall.Umask(0o022)      // of commands too; once, because it belongs to the process
	signals := catchSignals() // to the end: a late one must not change the exit status
	d := &daemon{program: p, settings: s, level: new(slog.LevelVar)}
	d.level.Set(s.level)
	d.log = newLogger(p.env.Stderr, d.level)
	keys, err := d.prepareNetwork()
	if err != nil {
		return err
	}
	if d.catalog, err = p.newCatalog(s, services, d.log); err != nil {
		return err
	}
	defer d.catalog.handler.Close()
	d.local = newRelay(d.sessions(s.localCommands()))
	d.network = newRelay(d.sessions(s.networkCommands()))
	if err := d.listen(keys, services); err != nil {
		return errors.Join(err, d.relays().shutdown(context.Background()))
	}
	return d.run(signals)
}

// sessions is a server whose sessions run so many commands at once.
func (d *daemon) sessions(maxCommands int) *session.Server {
	return &session.Server{Handler: d.catalog.handler, MaxCommands: maxCommands, Software: software(), Log: d.log}
}

func software() string { return "rexd " + version() }

func (d *daemon) relays() relays { return append(d.catalog.all(), d.local, d.network) }

// catchSignals catches what would end this process. SIGPIPE is caught and not
// ignored, because commands would inherit that.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1)
	return signals
}

// prepareNetwork decides who may log in, and returns the keys of this host.
// It does nothing if no address is one of TCP.
func (d *daemon) prepareNetwork() ([]*auth.HostKey, error) {
	if len(d.settings.onNetwork()) == 0 {
		return nil, nil
	}
	n, err := newNetwork(context.Background(), d.settings)
	if err != nil {
		return nil, err
	}
	n.log(d.log)
	d.authorizer.policy.Store(n.policy)
	keys, err := d.settings.login.keySource(os.Geteuid(), d.program.env.Getenv).load(true)
	if err != nil {
		return nil, err
	}
	var list []*auth.HostKey
	for _, k := range keys {
		d.log.Info("host key", k.attrs()...)
		list = append(list, k.key)
	}
	return list, nil
}

// run accepts connections until a signal or a broken listener ends it.
func (d *daemon) run(signals <-chan os.Signal) error {
	d.failed = make(chan error, len(d.listeners))
	for _, l := range d.listeners {
		attrs := []any{"addr", l.name}
		if l.service != "" {
			attrs = append(attrs, "service", l.service, "login", l.relay == d.network)
		}
		d.log.Info("listening", attrs...)
		d.accepting.Go(func() { d.accept(l) })
	}
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGPIPE:
			case syscall.SIGHUP:
				d.reload()
			case syscall.SIGUSR1:
				logUsage(d.log)
			default:
				return d.stop(signals, sig.String())
			}
		case err := <-d.failed:
			return errors.Join(err, d.stop(signals, "error"))
		}
	}
}

func (d *daemon) accept(l listener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			d.failed <- fmt.Errorf("accept on %s: %w", l.name, err)
			return
		}
		if c, ok := conn.(*transport.ServerConn); ok {
			conn = &loginConn{c, d.log}
		}
		l.relay.take(conn)
	}
}

// stop ends the daemon: no new sessions and commands, running ones may end
// within the drain time. A second signal ends them, a third one only this
// process.
func (d *daemon) stop(signals <-chan os.Signal, why string) error {
	d.log.Info("draining", "why", why, "limit", d.settings.drain.String())
	d.closeListeners()
	ctx, cancel := context.WithTimeout(context.Background(), d.settings.drain)
	defer cancel()
	err := drain(ctx, cancel, d.relays(), signals, d.log)
	if err == nil {
		d.accepting.Wait()
		d.log.Info("stopped")
	}
	return err
}

// A drainer can be shut down slowly and at once.
type drainer interface {
	shutdown(context.Context) error
	close()
}

// drain shuts s down, faster with each signal.
func drain(ctx context.Context, cancel func(), s drainer, signals <-chan os.Signal, log *slog.Logger) error {
	done := make(chan error, 1)
	go func() { done <- s.shutdown(ctx) }() // ends when all commands have, or with this process
	urged := false
	for {
		select {
		case err := <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				log.Warn("the time to drain is over, what still ran was ended")
			}
			return nil
		case sig := <-signals:
			switch {
			case sig == syscall.SIGUSR1:
				logUsage(log)
			case sig == syscall.SIGHUP || sig == syscall.SIGPIPE:
			case urged:
				return errAbandoned
			default:
				urged = true
				log.Warn("stopping now", "why", sig.String())
				cancel()
				s.close()
			}
		}
	}
}
