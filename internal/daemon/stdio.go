//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

const hintStdio = "rex starts it so for local: hosts; or use it as a proxy command: ssh host rexd --stdio"

// stdio serves one session on standard input and output. There is no login:
// commands run as whoever started this. Its life is that of the connection,
// and not of a terminal that it may have been started from.
func (p *program) stdio() error {
	s, err := loadSettings(p.flags, p.env.Getenv, false)
	if err != nil {
		return err
	}
	services, err := thisHost().services(context.Background(), s)
	if err != nil {
		return err
	}
	if !s.levelSet {
		s.level = slog.LevelWarn // standard error is often the client's terminal
	}
	conn, err := transport.Stdio()
	if errors.Is(err, transport.ErrNotConnection) {
		return usageErrorf(hintStdio, "--stdio: %w", err)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	syscall.Umask(0o022)
	_, _ = syscall.Setsid() // fails for the leader of a process group, who can do without
	signals := catchSignals()
	defer signal.Stop(signals)
	log := newLogger(p.env.Stderr, s.level)
	catalog, err := p.newCatalog(s, services, log)
	if err != nil {
		return err
	}
	defer catalog.handler.Close()
	defer func() { _ = catalog.all().shutdown(context.Background()) }() // of which nothing runs any more
	one := &single{
		server: &session.Server{Handler: catalog.handler, MaxCommands: s.localCommands(), Software: software(), Log: log},
		conn:   conn,
		ended:  make(chan struct{}),
	}
	return one.serve(s, signals, log)
}

// A single is a server with one session.
type single struct {
	server *session.Server
	conn   transport.Conn
	ended  chan struct{}
	err    error // set before ended is closed
}

// serve returns when the session and its commands have ended. SIGTERM ends
// them as it does those of a daemon; SIGINT and SIGHUP come from terminals and
// are for the client.
func (o *single) serve(s *settings, signals <-chan os.Signal, log *slog.Logger) error {
	go func() { // ends with the session, or with this process
		o.err = o.server.ServeConn(context.Background(), o.conn, session.Peer{User: userName(), Addr: "stdio"})
		close(o.ended)
	}()
	for {
		select {
		case <-o.ended:
			return o.err
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				logUsage(log)
			case syscall.SIGTERM:
				ctx, cancel := context.WithTimeout(context.Background(), s.drain)
				defer cancel()
				return drain(ctx, cancel, o, signals, log)
			}
		}
	}
}

func (o *single) shutdown(ctx context.Context) error {
	_ = o.server.Shutdown(ctx)
	<-o.ended
	return ctx.Err()
}

func (o *single) close() { _ = o.server.Close() }

// userName is whom commands run as, for the log.
func userName() string {
	id := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
