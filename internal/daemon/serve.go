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
	"slices"
	"sync"
	"syscall"

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
	program   *program
	settings  *settings
	level     *slog.LevelVar
	log       *slog.Logger
	service   *service
	listeners []*transport.UnixListener
	accepting sync.WaitGroup
	failed    chan error // of a listener
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
	syscall.Umask(0o022) // of commands too; once, because it belongs to the process
	signals := catchSignals()
	defer signal.Stop(signals)
	d := &daemon{program: p, settings: s, level: new(slog.LevelVar), failed: make(chan error, len(s.listen))}
	d.level.Set(s.level)
	d.log = newLogger(p.env.Stderr, d.level)
	opts := p.handlerOptions(s)
	opts.Log = d.log
	handler, err := execd.New(opts)
	if err != nil {
		return err
	}
	defer handler.Close()
	if err := d.listen(); err != nil {
		return err
	}
	d.service = newService(handler, d.log, s.maxCommands)
	return d.run(signals)
}

// catchSignals catches what would end this process. SIGPIPE is caught and not
// ignored, because commands would inherit that.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1)
	return signals
}

// listen opens all sockets or none.
func (d *daemon) listen() error {
	for _, path := range d.settings.listen {
		l, err := transport.ListenUnix(path, transport.UnixOptions{Log: d.log})
		if err != nil {
			d.closeListeners()
			return err
		}
		d.listeners = append(d.listeners, l)
	}
	return nil
}

func (d *daemon) closeListeners() {
	for _, l := range d.listeners {
		if err := l.Close(); err != nil {
			d.log.Warn("closing a socket", "addr", "unix:"+l.Addr().String(), "err", err)
		}
	}
}

// run accepts connections until a signal or a broken listener ends it.
func (d *daemon) run(signals <-chan os.Signal) error {
	for _, l := range d.listeners {
		d.log.Info("listening", "addr", "unix:"+l.Addr().String())
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

func (d *daemon) accept(l *transport.UnixListener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			d.failed <- fmt.Errorf("accept on %s: %w", l.Addr(), err)
			return
		}
		d.service.take(conn)
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
	err := drain(ctx, cancel, d.service, signals, d.log)
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

// reload reads the configuration again and applies what can be changed while
// rexd runs. A bad one changes nothing.
func (d *daemon) reload() {
	next, err := loadSettings(d.program.flags, d.program.env.Getenv, true)
	if err != nil {
		d.log.Error("configuration not reloaded, the old one stays", "err", err)
		return
	}
	old := d.settings
	for _, fixed := range []struct {
		key     string
		changed bool
	}{
		{"listen", !slices.Equal(old.listen, next.listen)},
		{"tree", old.tree != next.tree},
	} {
		if fixed.changed {
			d.log.Warn("a changed key counts from the next start on only", "key", fixed.key)
		}
	}
	next.listen, next.tree = old.listen, old.tree
	d.settings = next
	d.level.Set(next.level)
	if next.maxCommands != old.maxCommands {
		d.service.renew(next.maxCommands)
	}
	d.log.Info("configuration reloaded", "file", next.file, "log_level", next.level.String(),
		"max_commands", next.maxCommands, "drain", next.drain.String())
}
