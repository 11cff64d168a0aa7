//go:build unix

package execd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/process"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Options configure a [Handler]. The zero value is good for a server that is
// embedded in another program; it holds only process groups then.
type Options struct {
	// Mode is how process trees are held: "cgroup", "keeper" or "group"; empty
	// chooses the strongest that works here.
	Mode string
	// Keeper is the argument vector that runs [KeeperMain] in this program, for
	// example {"/proc/self/exe", "session"}. Empty: no keepers.
	Keeper []string
	// Grace is the time between TERM and KILL when a tree is ended; 0 is 5 s.
	Grace time.Duration
	// StartTimeout is when a start that hangs is given up; 0 is 10 s.
	StartTimeout time.Duration
	// Shell and Home replace those of this process's user, for sessions without a
	// Login; empty takes the account's.
	Shell, Home string
	// TZ is the time zone of the commands' environment; empty sets none.
	TZ string
	// Services finds the service of a name; ok is false where there is none. It
	// may be called concurrently, and not always give the same answer. Nil: there
	// are no services.
	Services func(name string) (s *Service, ok bool)
	// Log takes warnings; nil discards them.
	Log *slog.Logger
}

// Handler is a [session.Handler] that runs processes. Its methods may be called
// concurrently.
type Handler struct {
	spawner  *process.Spawner
	own      *Login // of this process's user
	noUser   error  // why own is nil
	tz       string
	log      *slog.Logger
	services func(name string) (*Service, bool)
	// ttyGroup is the group of terminals, 0 if there is none.
	ttyGroup uint32
}

// New returns a handler. It fails if the demanded mode does not work here.
func New(opts Options) (*Handler, error) {
	spawner, err := process.NewSpawner(process.Options{
		Mode: process.Mode(opts.Mode), Keeper: opts.Keeper,
		Grace: opts.Grace, StartTimeout: opts.StartTimeout, Log: opts.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("execd: %w", err)
	}
	h := &Handler{spawner: spawner, tz: opts.TZ, log: opts.Log, services: opts.Services}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.services == nil {
		h.services = func(string) (*Service, bool) { return nil, false }
	}
	if gid, ok := account.GroupID("tty"); ok {
		h.ttyGroup = uint32(gid)
	}
	a, err := account.LookupUID(context.Background(), os.Getuid())
	if h.noUser = err; err == nil {
		h.own = ownLogin(a, opts)
	}
	return h, nil
}

// ownLogin is the login of this process's user, who may do everything.
func ownLogin(a *account.Account, opts Options) *Login {
	l := &Login{User: a.Name, UID: a.UID, GID: a.GID, Groups: a.Groups, Home: a.Home, Shell: a.Shell, PTY: true, Exact: true}
	if opts.Shell != "" {
		l.Shell = opts.Shell
	}
	if opts.Home != "" {
		l.Home = opts.Home
	}
	return l
}

// KeeperMain is the body of a keeper process, see [Options]. It returns the
// status to exit with.
func KeeperMain() int { return process.KeeperMain() }

// Mode says how process trees are held.
func (h *Handler) Mode() string { return string(h.spawner.Mode()) }

// Reason says in one line why.
func (h *Handler) Reason() string { return h.spawner.Reason() }

// Close frees what the handler holds. Commands must have ended.
func (h *Handler) Close() error { return h.spawner.Close() }

// Start implements [session.Handler].
func (h *Handler) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	l, err := h.loginOf(req.Peer.Login)
	if err != nil {
		return nil, err
	}
	if name := l.serviceFor(req); name != "" {
		return h.startService(ctx, l, name, req)
	}
	return started(h.startCommand(ctx, l, req, nil))
}

// StartPassed implements [session.PassingHandler]. A service has streams, whose
// bytes can be counted: it is refused with unsupported.
func (h *Handler) StartPassed(ctx context.Context, req *session.Request, files []int) (session.Process, error) {
	l, err := h.loginOf(req.Peer.Login)
	if err == nil && l.serviceFor(req) != "" {
		err = &session.Refusal{Code: proto.CodeUnsupported, Message: "a service takes streams, and no descriptors"}
	}
	if err != nil {
		process.CloseFiles(files)
		return nil, err
	}
	return started(h.startCommand(ctx, l, req, files))
}

// startCommand starts what a login asks for, with pipes or a terminal, or with
// descriptors, which are its own.
func (h *Handler) startCommand(ctx context.Context, l *Login, req *session.Request, files []int) (*running, error) {
	var spec *process.Spec
	err := l.allow(req)
	if err == nil {
		spec, err = h.spec(l, req)
	}
	if err != nil {
		process.CloseFiles(files)
		return nil, err
	}
	spec.Files = files
	byShell := l.program(spec, req)
	r := &running{bound: l.Command != nil}
	spec.Env, r.dropped = l.environment(req, h.tz)
	return h.launch(ctx, spec, req, byShell, r)
}

// started keeps what was not started nil as an interface.
func started(p *running, err error) (session.Process, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// launch starts what the specification says, as the process of r.
func (h *Handler) launch(ctx context.Context, spec *process.Spec, req *session.Request, byShell bool, r *running) (*running, error) {
	p, err := h.spawner.Start(ctx, spec)
	if err != nil {
		return nil, refusal(err, byShell)
	}
	if req.Term != nil && !req.Stdin {
		_ = p.Stdin().Close() // a terminal always has input; without any it ends at once
	}
	r.Process = p
	return r, nil
}

// spec is the request but for the program and the environment.
func (h *Handler) spec(l *Login, req *session.Request) (*process.Spec, error) {
	cred, err := h.credential(l)
	if err != nil {
		return nil, err
	}
	spec := &process.Spec{
		Credential: cred,
		Stdin:      req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr && !req.MergeStderr, MergeStderr: req.MergeStderr,
		Keep: req.Orphan == session.OrphanKeep,
	}
	spec.Dir, spec.DirOptional = l.dir(req.Dir)
	if t := req.Term; t != nil {
		spec.Term = &process.Term{Rows: t.Rows, Cols: t.Cols, Modes: upper(t.Modes), Group: h.ttyGroup}
		if l != h.own {
			spec.Term.NameVar = "SSH_TTY"
		}
	}
	return spec, nil
}

// upper gives terminal modes their names in RFC 4254; the protocol's are in
// lower case.
func upper(modes map[string]uint32) map[string]uint32 {
	out := make(map[string]uint32, len(modes))
	for name, value := range modes {
		out[strings.ToUpper(name)] = value
	}
	return out
}

// refusal turns an error of a start into a refusal. What is not there of a
// command by shell is the shell: nobody asked for it.
func refusal(err error, byShell bool) error {
	start, ok := errors.AsType[*process.StartError](err)
	if !ok {
		return err
	}
	code := proto.Code(start.Code)
	switch {
	case byShell && (code == proto.CodeNotFound || code == proto.CodeIsDirectory):
		return &session.Refusal{Code: proto.CodeNoShell, Message: fmt.Sprintf("the login shell does not exist: %v", start.Err)}
	case !code.Known():
		code = proto.CodeStartFailed
	}
	return &session.Refusal{Code: code, Message: start.Err.Error()}
}

// running is a process in the shape of the session package.
type running struct {
	*process.Process
	dropped []string
	bound   bool // it is not the client who said what runs
}

func (r *running) DroppedEnv() []string { return r.dropped }

func (r *running) Stdin() io.WriteCloser {
	if w := r.Process.Stdin(); w != nil {
		return w
	}
	return nil
}

func (r *running) Stdout() session.Output { return output(r.Process.Stdout()) }
func (r *running) Stderr() session.Output { return output(r.Process.Stderr()) }

// output keeps an absent output nil as an interface.
func output(o process.Output) session.Output {
	if o == nil {
		return nil
	}
	return o
}

// errBound refuses signals to what the client has not chosen.
var errBound = errors.New("execd: a forced command or service can only be told to end")

// Signal implements [session.Process]. Of a forced command or a service a client
// can end all, which it could by leaving as well, and nothing else: sshd takes no
// signal for them at all.
func (r *running) Signal(name string, to session.Target) error {
	if r.bound {
		if !slices.Contains([]string{"HUP", "INT", "TERM", "KILL"}, name) {
			return errBound
		}
		to = session.ToTree
	}
	targets := map[session.Target]process.Target{
		session.ToProcess: process.ToProcess, session.ToGroup: process.ToGroup, session.ToTree: process.ToTree,
	}
	return r.Process.Signal(name, targets[to])
}

func (r *running) Wait() (session.Exit, error) {
	state, err := r.Process.Wait()
	exit := session.Exit{
		Code: max(state.Code, 0), Core: state.Core,
		UserTime: state.UserTime, SystemTime: state.SystemTime, MaxRSS: state.MaxRSS,
		Started: state.Started, Ended: state.Ended,
	}
	if state.Signal != 0 {
		exit.Signal = &proto.SignalInfo{Number: uint64(state.Signal), Name: state.SignalName}
	}
	return exit, err
}

var (
	_ session.Process        = (*running)(nil)
	_ session.PassingHandler = (*Handler)(nil)
)
