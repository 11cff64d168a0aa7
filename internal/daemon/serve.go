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
	"github.com/rexec/rex/session/execd"
)

// hintNoAddress is for somebody who starts rexd for the first time.
const hintNoAddress = "rexd --listen unix:/run/rex/rexd.sock, or listen = [...] in the configuration"

// errAbandoned says that rexd went before its commands did, because it was
// told so three times.
var errAbandoned = errors.New("stopped without waiting for the commands to end")

// A daemon is rexd while it listens.
//
// Its goroutines: one for each listener, which ends when that is closed; those
// of the service. run waits for all of them.
type daemon struct {
	program    *program
	settings   *settings
	level      *slog.LevelVar
	log        *slog.Logger
	authorizer authorizer
	local      *service // of sockets
	network    *service // of TCP
	listeners  []listener
	accepting  sync.WaitGroup
	failed     chan error // of a listener
}

// A listener accepts connections for a service.
type listener struct {
	net.Listener
	name    string // with the port that it really has
	service *service
}

// serve listens until a signal ends it.
func (p *program) serve() error {
	s, err := loadSettings(p.flags, p.env.Getenv, true)
	if err != nil {
		return err
	}
	if len(s.listen) == 0 {
		return usageErrorf(hintNoAddress, "no address to listen on")
	}
	syscall.Umask(0o022)      // of commands too; once, because it belongs to the process
	signals := catchSignals() // to the end: a late one must not change the exit status
	d := &daemon{program: p, settings: s, level: new(slog.LevelVar), failed: make(chan error, len(s.listen))}
	d.level.Set(s.level)
	d.log = newLogger(p.env.Stderr, d.level)
	keys, err := d.prepareNetwork()
	if err != nil {
		return err
	}
	opts := p.handlerOptions(s)
	opts.Log = d.log
	handler, err := execd.New(opts)
	if err != nil {
		return err
	}
	defer handler.Close()
	d.local = newService(handler, d.log, s.localCommands())
	d.network = newService(handler, d.log, s.networkCommands())
	if err := d.listen(keys); err != nil {
		return errors.Join(err, d.services().shutdown(context.Background()))
	}
	return d.run(signals)
}

func (d *daemon) services() services { return services{d.local, d.network} }

// catchSignals catches what would end this process. SIGPIPE is caught and not
// ignored, because commands would inherit that.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1)
	return signals
}

// listen opens all sockets or none.
func (d *daemon) listen(keys []*auth.HostKey) (err error) {
	for _, addr := range d.settings.listen {
		var l listener
		if addr.path != "" {
			l, err = d.listenUnix(addr.path)
		} else {
			l, err = d.listenTCP(addr.tcp, keys)
		}
		if err != nil {
			d.closeListeners()
			return err
		}
		d.listeners = append(d.listeners, l)
	}
	return nil
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

func (d *daemon) listenUnix(path string) (listener, error) {
	l, err := transport.ListenUnix(path, transport.UnixOptions{Log: d.log})
	if err != nil {
		return listener{}, socketError(path, err)
	}
	return listener{l, "unix:" + l.Addr().String(), d.local}, nil
}

func (d *daemon) listenTCP(addr string, keys []*auth.HostKey) (listener, error) {
	l, err := transport.ListenTCP(context.Background(), addr, &transport.TCPListenOptions{
		HostKeys: keys, Authorizer: &d.authorizer, Listen: d.program.env.Listen, Log: d.log,
	})
	if err != nil {
		return listener{}, err
	}
	return listener{l, l.Addr().String(), d.network}, nil
}

func (d *daemon) closeListeners() {
	for _, l := range d.listeners {
		if err := l.Close(); err != nil {
			d.log.Warn("closing a listener", "addr", l.name, "err", err)
		}
	}
}

// run accepts connections until a signal or a broken listener ends it.
func (d *daemon) run(signals <-chan os.Signal) error {
	for _, l := range d.listeners {
		d.log.Info("listening", "addr", l.name)
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
		l.service.take(conn)
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
	err := drain(ctx, cancel, d.services(), signals, d.log)
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
