//go:build unix

package execd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A Service is a program that whoever runs the server gave a name: clients ask
// for it by that name, as for a subsystem of sshd, and decide nothing about it.
// It is not changed once it was handed over.
type Service struct {
	Name string
	// Argv is the exact argument vector. A first element without a slash is looked
	// up in the PATH of the service's environment.
	Argv []string
	// Login is whose account runs it; nil is that of whoever asks. Of it only the
	// account counts.
	Login *Login
	// Dir is the working directory, which must exist; empty is the home directory
	// of the account, or / if that cannot be entered.
	Dir string
	// Env are variables, "NAME=value", that win over those of a login.
	Env []string
	// Terminal makes stdout a terminal, as that of [Program] does, and lets clients
	// run it on one of their own. Without it no client gets one.
	Terminal bool
	// Users and Groups are who may ask for it: users of these names and members
	// of these groups. If both are empty, everybody may.
	Users  []string
	Groups []int
	// Limits bound what is run over a session.
	Limits Limits
	// Enter takes a place among those who may run it at once, before it starts;
	// leave is called when what was started is over. Nil is no bound.
	Enter func(session.Peer) (leave func(), err error)
}

// serviceFor is the service that the request is for, empty if for none: the one
// that the login is bound to, or the one it names.
func (l *Login) serviceFor(req *session.Request) string {
	switch {
	case l.Service != "":
		return l.Service
	case l.Command != nil:
		return "" // and so it is what runs
	}
	return req.Subsystem
}

// startService starts the service of that name for a login.
func (h *Handler) startService(ctx context.Context, l *Login, name string, req *session.Request) (session.Process, error) {
	s, ok := h.services(name)
	if !ok {
		return nil, l.noService(name)
	}
	if err := s.admit(l, req); err != nil {
		return nil, err
	}
	leave := func() {}
	if s.Enter != nil {
		var err error
		if leave, err = s.Enter(req.Peer); err != nil {
			return nil, &session.Refusal{Code: proto.CodeBusy, Message: fmt.Sprintf("the service %q: %v", s.Name, err)}
		}
	}
	p, err := h.runService(ctx, s, l, connection(l.Remote, l.Local), req)
	if err != nil {
		leave()
		return nil, err
	}
	return withLimits(newPlaced(p, leave), s.Limits, h.log.With("service", s.Name)), nil
}

// noService refuses a name that is none of a service.
func (l *Login) noService(name string) error {
	message := fmt.Sprintf("there is no service %q", name)
	if l.Service != "" {
		message = fmt.Sprintf("this login runs the service %q and nothing else, and there is none of that name", name)
	}
	return &session.Refusal{Code: proto.CodeNoSubsystem, Message: message}
}

// admit refuses who may not run the service, and what it does not do for a
// client. A directory is refused where somebody asks for the service and one;
// where the login is bound to it, it is as with forced commands.
func (s *Service) admit(l *Login, req *session.Request) error {
	refuse := func(code proto.Code, format string, args ...any) error {
		return &session.Refusal{Code: code, Message: fmt.Sprintf("the service %q "+format, append([]any{s.Name}, args...)...)}
	}
	switch {
	case !s.allows(l):
		return refuse(proto.CodePermissionDenied, "is not for %q", l.User)
	case req.Term != nil && !s.Terminal:
		return refuse(proto.CodePermissionDenied, "has no terminal: ask for none (-T)")
	case req.Term != nil && !l.PTY:
		return errNoTerminal
	case req.Orphan == session.OrphanKeep:
		return refuse(proto.CodeUnsupported, "ends with its client: leave out --orphan keep")
	case req.Dir != "" && l.Service == "":
		return refuse(proto.CodeUnsupported, "has a directory of its own: leave out --dir")
	}
	return nil
}

func (s *Service) allows(l *Login) bool {
	return len(s.Users)+len(s.Groups) == 0 || slices.Contains(s.Users, l.User) ||
		slices.ContainsFunc(s.Groups, func(gid int) bool { return slices.Contains(l.Groups, gid) })
}

// StartService starts a service for a connection of which nothing is known but
// its ends, which are not valid where there are none. Who may is for whoever
// accepted it to decide: Users, Groups and Enter do not count. A service without
// a Login runs as this process's user, unless that is root: then it is refused,
// since nobody has said so.
func (h *Handler) StartService(ctx context.Context, s *Service, remote, local netip.AddrPort) (session.Process, error) {
	own, err := h.loginOf(nil)
	switch {
	case err != nil:
		return nil, err
	case s.Login == nil && os.Geteuid() == 0:
		return nil, &session.Refusal{Code: proto.CodePermissionDenied, Message: fmt.Sprintf("nobody said who runs the service %q", s.Name)}
	}
	req := &session.Request{Subsystem: s.Name, Stdin: true, Stdout: true, Stderr: true}
	return started(h.runService(ctx, s, own, connection(remote, local), req))
}

// runService starts the program, as the account of the service or else of the
// login. Of the request count the streams and the terminal.
func (h *Handler) runService(ctx context.Context, s *Service, l *Login, connection string, req *session.Request) (*running, error) {
	as := l
	if s.Login != nil {
		var err error
		if as, err = h.loginOf(s.Login); err != nil {
			return nil, err
		}
	}
	own := *req
	own.Dir, own.Orphan = "", session.OrphanKill
	spec, err := h.spec(as, &own)
	if err != nil {
		return nil, err
	}
	if s.Dir != "" {
		spec.Dir, spec.DirOptional = s.Dir, false
	}
	if s.Terminal && spec.Term == nil {
		spec.Term = outputTerm(h.ttyGroup)
	}
	spec.Path, spec.Args = s.Argv[0], s.Argv
	r := &running{bound: true}
	spec.Env, r.dropped = s.environment(as.account(h.tz), connection, req)
	if line, ok := original(req); ok && l.Service != "" {
		spec.Env = append(spec.Env, "SSH_ORIGINAL_COMMAND="+line)
	}
	return h.launch(ctx, spec, &own, false, r)
}

// environment is built from the variables of the account and the service's own.
// The client, whose connection it is, has a say about the name of its terminal
// alone.
func (s *Service) environment(account []string, connection string, req *session.Request) (env, dropped []string) {
	base := slices.Concat(account, s.Env, []string{"REX_SERVICE=" + s.Name})
	if field := strings.Fields(connection); len(field) > 0 {
		base = append(base, "REX_CONNECTION="+connection, "REMOTE_ADDR="+field[0], "REMOTE_PORT="+field[1])
	}
	asked := slices.Clone(req.Env)
	if t := req.Term; t != nil && t.Name != "" {
		asked = append(asked, "TERM="+t.Name)
	}
	var e environ
	for _, kv := range base {
		e.put(kv)
	}
	return merge(e.list, asked, func(name, value string) bool {
		return name == "TERM" && req.Term != nil && isPlainValue(value)
	})
}

// A placed process gives its place back when it is over.
type placed struct {
	*running
	leave   func() // may be called again
	release func() error
}

// newPlaced has what the service put in the background end with it: it has no
// user to whom it could belong.
func newPlaced(p *running, leave func()) *placed {
	return &placed{p, leave, sync.OnceValue(func() error {
		defer leave()
		return errors.Join(p.End(context.Background()), p.Release())
	})}
}

// End implements [session.Process]. With the tree the place is free: a client that
// does not read what is left of the output does not hold it.
func (p *placed) End(ctx context.Context) error {
	err := p.running.End(ctx)
	if err == nil {
		p.leave()
	}
	return err
}

// Release implements [session.Process].
func (p *placed) Release() error { return p.release() }
