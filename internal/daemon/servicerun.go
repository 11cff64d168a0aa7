//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	svc "github.com/rexec/rex/internal/service"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

const hintServiceAddress = "use host:port, for example --listen 127.0.0.1:9999, or unix:/path, for example --listen unix:/run/upper.sock"

// A serviceRun is one program as a service.
//
// Its goroutines: one for each listener, which ends when that is closed; those
// of the service. Both have ended when run returns.
type serviceRun struct {
	service   *svc.Service
	listeners []*transport.PlainListener
	serving   sync.WaitGroup
	failed    chan error // of a listener
	log       *slog.Logger
}

// runService is rexd service.
func (p *program) runService(args []string) error {
	f, err := parseServiceFlags(args)
	if err != nil {
		return err
	}
	if f.help {
		return say(p.env.Stdout, serviceUsage)
	}
	prog, err := p.serviceProgram(f)
	if err != nil {
		return err
	}
	signals := catchSignals()
	defer signal.Stop(signals)
	log := newLogger(p.env.Stderr, f.level)
	opts := p.handlerOptions(&settings{})
	opts.Log = log
	handler, err := execd.New(opts)
	if err != nil {
		return err
	}
	defer handler.Close()
	r := &serviceRun{log: log, failed: make(chan error, len(f.listen)), service: &svc.Service{
		Name: f.argv[0], Start: startProgram(handler, prog), Limits: f.limits, Linger: f.linger, Log: log,
	}}
	if err := r.listen(f); err != nil {
		return err
	}
	return r.run(signals)
}

// startProgram starts it with the environment that says who the client is.
func startProgram(h *execd.Handler, prog *execd.Program) func(context.Context, svc.Client) (session.Process, error) {
	return func(ctx context.Context, c svc.Client) (session.Process, error) {
		started := *prog
		started.Env = slices.Concat(prog.Env, remoteVariables(c.Remote))
		return h.StartProgram(ctx, &started)
	}
}

// serviceProgram is the program as whoever started rexd would run it: in the
// same directory and environment.
func (p *program) serviceProgram(f *serviceFlags) (*execd.Program, error) {
	switch _, err := exec.LookPath(f.argv[0]); {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, usageErrorf("give its path, or one of the names that PATH leads to: "+hintServiceRun, "no program %q", f.argv[0])
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return nil, usageErrorf("ls -ld "+shellQuote(f.argv[0]), "%q cannot be executed", f.argv[0])
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	env := slices.DeleteFunc(slices.Clone(p.env.Environ), func(kv string) bool {
		return strings.HasPrefix(kv, "REMOTE_ADDR=") || strings.HasPrefix(kv, "REMOTE_PORT=")
	})
	return &execd.Program{Argv: f.argv, Env: env, Dir: dir, Terminal: f.pty}, nil
}

// remoteVariables tell a program who its client is, as systemd.exec(5) has them
// for services of one connection. There are none for a Unix socket.
func remoteVariables(client net.Addr) []string {
	tcp, ok := client.(*net.TCPAddr)
	if !ok {
		return nil
	}
	addr := tcp.AddrPort()
	return []string{"REMOTE_ADDR=" + addr.Addr().String(), fmt.Sprintf("REMOTE_PORT=%d", addr.Port())}
}

// listen opens all addresses or none.
func (r *serviceRun) listen(f *serviceFlags) error {
	for _, text := range f.listen {
		l, err := listenPlain(text, f.public, r.log)
		if err != nil {
			r.shutdownListeners()
			return err
		}
		r.listeners = append(r.listeners, l)
	}
	return nil
}

func (r *serviceRun) shutdownListeners() {
	for _, l := range r.listeners {
		_ = l.Close()
	}
}

// listenPlain listens for connections that nobody logs in to, as --listen says.
func listenPlain(text string, public bool, log *slog.Logger) (*transport.PlainListener, error) {
	addr, err := parseAddress(text)
	if err != nil {
		return nil, usageErrorf(hintServiceAddress, "--listen: %w", err)
	}
	if addr.path != "" {
		l, err := transport.ListenPlainUnix(addr.path, 0, -1, log)
		return l, socketError(addr.path, err)
	}
	l, err := listenPlainTCP(addr.tcp, public, log)
	return l, servicePortError(err)
}

// listenPlainTCP listens on host:port, which must be declared public if other
// hosts can reach it. Hints are the caller's, who knows where it was written.
func listenPlainTCP(hostport string, public bool, log *slog.Logger) (*transport.PlainListener, error) {
	if !public {
		var err error
		if hostport, err = loopback(hostport); err != nil {
			return nil, err
		}
	}
	return transport.ListenPlainTCP(context.Background(), hostport, log)
}

// A notLoopbackError is about an address that other hosts may reach.
type notLoopbackError struct {
	hostport string
	port     int
}

func (e *notLoopbackError) Error() string { return e.hostport + " is not a loopback address" }

// loopback resolves the address, which must be one that only this host reaches.
func loopback(hostport string) (string, error) {
	tcp, err := net.ResolveTCPAddr("tcp", hostport)
	if err != nil {
		return "", err
	}
	if !tcp.IP.IsLoopback() {
		return "", &notLoopbackError{hostport, tcp.Port}
	}
	return tcp.String(), nil
}

// servicePortError knows other ports than those of rexd.
func servicePortError(err error) error {
	if e, ok := errors.AsType[*notLoopbackError](err); ok {
		hint := fmt.Sprintf("--listen 127.0.0.1:%d keeps it to this host; --listen %s --public lets in whoever can reach it, without a login", e.port, e.hostport)
		return usageErrorf(hint, "%w", err)
	}
	return ofServiceRun.explain(err)
}

var ofServiceRun = portHints{
	inUse:      "stop what listens there (ss -ltnp shows it), or let the system choose a port: --listen 127.0.0.1:0",
	elsewhere:  "this host does not have that address: ip address lists those it has",
	unresolved: "name an address of this host: --listen 127.0.0.1:9999",
	privileged: "only root may listen on ports below 1024: --listen 127.0.0.1:9999",
}

// run serves until a signal or a broken listener ends it.
func (r *serviceRun) run(signals <-chan os.Signal) error {
	for _, l := range r.listeners {
		r.log.Info("listening", "addr", l.String())
		r.serving.Go(func() {
			if err := r.service.Serve(l); err != nil {
				r.failed <- fmt.Errorf("accept on %s: %w", l, err)
			}
		})
	}
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGPIPE:
			case syscall.SIGUSR1:
				logUsage(r.log)
			default: // of a terminal that is gone, too: there is nothing to reload
				return r.stop(signals, sig.String())
			}
		case err := <-r.failed:
			return errors.Join(err, r.stop(signals, "error"))
		}
	}
}

// stop is [daemon.stop] for a service.
func (r *serviceRun) stop(signals <-chan os.Signal, why string) error {
	r.log.Info("draining", "why", why, "limit", defaultDrain.String())
	ctx, cancel := context.WithTimeout(context.Background(), defaultDrain)
	defer cancel()
	err := drain(ctx, cancel, r, signals, r.log)
	if err == nil {
		r.serving.Wait()
		r.log.Info("stopped")
	}
	return err
}

func (r *serviceRun) shutdown(ctx context.Context) error { return r.service.Shutdown(ctx) }
func (r *serviceRun) close()                             { _ = r.service.Close() }
