//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
)

// Spawner starts commands and holds their process trees in one mode. Its
// methods may be called concurrently.
type Spawner struct {
	opts    Options
	mode    Mode
	reason  string
	backend backend
	shield  *oomShield
	undo    func() // gives back the signal dispositions
}

// backend starts commands in one mode. start owns nothing of std.
type backend interface {
	start(ctx context.Context, spec *Spec, std *stdio) (runner, error)
	close() error
}

// NewSpawner chooses the mode and prepares this process to start commands: its
// descriptors from 3 on become close-on-exec, and signals that it was started
// with as ignored are caught and dropped instead, so that commands get
// defaults. In cgroup mode it also ends what dead predecessors in the same
// cgroup left running without Spec.Keep.
func NewSpawner(opts Options) (*Spawner, error) {
	opts = opts.withDefaults()
	if err := closeOnExec(); err != nil {
		return nil, fmt.Errorf("make descriptors close-on-exec: %w", err)
	}
	s := &Spawner{opts: opts, shield: newOOMShield(oomScoreFile, opts.Log)}
	if err := s.choose(); err != nil {
		return nil, err
	}
	undo, err := catchIgnored()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reset signal dispositions: %w", err), s.backend.close())
	}
	s.undo = undo
	level := slog.LevelInfo
	if s.mode == ModeGroup && opts.Mode == "" {
		level = slog.LevelWarn
	}
	opts.Log.Log(context.Background(), level, "process trees are held", "mode", s.mode, "reason", s.reason)
	return s, nil
}

// choose takes the demanded mode or the strongest usable one, and says why.
func (s *Spawner) choose() error {
	var errs []error
	for _, try := range []struct {
		mode Mode
		open func() error
	}{
		{ModeCgroup, s.tryCgroups},
		{ModeKeeper, s.tryKeepers},
		{ModeGroup, s.useGroups},
	} {
		if s.opts.Mode != "" && s.opts.Mode != try.mode {
			continue
		}
		err := try.open()
		if err == nil {
			s.mode = try.mode
			s.explain(errs)
			return nil
		}
		errs = append(errs, fmt.Errorf("no %s: %w", try.mode, err))
	}
	if errs == nil {
		return fmt.Errorf("unknown mode %q", s.opts.Mode)
	}
	return errors.Join(errs...)
}

// explain adds to the reason why stronger modes were passed over.
func (s *Spawner) explain(passed []error) {
	if s.opts.Mode != "" {
		s.reason += " (demanded)"
	}
	for _, err := range passed {
		s.reason += "; " + err.Error()
	}
}

func (s *Spawner) tryCgroups() error {
	b, dir, err := openCgroups(s.opts.Log, s.shield)
	if err != nil {
		return err
	}
	s.backend, s.reason = b, "cgroups below "+dir
	return nil
}

func (s *Spawner) tryKeepers() error {
	b, err := openKeepers(s.opts, s.shield)
	if err != nil {
		return err
	}
	s.backend, s.reason = b, "a keeper process per command"
	return nil
}

func (s *Spawner) useGroups() error {
	s.backend, s.reason = groupBackend{s.shield}, "process groups and sessions only"
	return nil
}

// Mode returns the mode in which process trees are held.
func (s *Spawner) Mode() Mode { return s.mode }

// Reason says in one line why it is that mode, for the log.
func (s *Spawner) Reason() string { return s.reason }

// Close gives back what the Spawner itself holds. Commands that still run are
// neither ended nor waited for, but may be by their own methods.
func (s *Spawner) Close() error {
	s.undo()
	return s.backend.close()
}

// Start starts a command. The error is a *StartError. spec must not be changed
// any more, not even after an error.
//
// When ctx ends or Options.StartTimeout passes first, Start gives up: with
// CodeStartTimeout, or CodeStartFailed and the context's cause if it was
// canceled. The start goes on in the background as long as the kernel hangs in
// it; if it succeeds after all, the command is killed and reaped.
// The end of ctx after Start returned means nothing to the command.
func (s *Spawner) Start(ctx context.Context, spec *Spec) (*Process, error) {
	if err := spec.validate(); err != nil {
		CloseFiles(spec.Files)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	type result struct {
		p   *Process
		err error
	}
	started := make(chan result)
	go func() {
		p, err := s.start(ctx, spec)
		select {
		case started <- result{p, err}:
		case <-ctx.Done():
			p.discard(s.opts.Log)
		}
	}()
	select {
	case r := <-started:
		return r.p, r.err
	case <-ctx.Done():
		return nil, givenUp(ctx)
	}
}

func givenUp(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return startError(CodeStartFailed, cause)
	}
	return startError(CodeStartTimeout, errors.New("the start hangs, given up"))
}

func (s *Spawner) start(ctx context.Context, spec *Spec) (*Process, error) {
	std, err := openStdio(spec)
	if err != nil {
		return nil, err
	}
	run, err := s.backend.start(ctx, spec.withTermName(std.term), std)
	std.closeCommand()
	if err != nil {
		_ = std.close()
		return nil, err
	}
	return &Process{run: run, std: std, grace: s.opts.Grace}, nil
}

// withTermName returns the Spec with the variable that names the terminal.
func (s *Spec) withTermName(term *terminal) *Spec {
	if term == nil || s.Term.NameVar == "" {
		return s
	}
	named := *s
	named.Env = append(slices.Clip(s.Env), s.Term.NameVar+"="+term.name)
	return &named
}

// newLaunch looks up the program and prepares the start of a command that
// leads its own session, on its terminal if it has one.
func newLaunch(spec *Spec, files []uintptr, onTerm bool) (*launch, error) {
	env := spec.Env
	if env == nil {
		env = []string{} // nil would mean ours
	}
	l := &launch{
		argv:  spec.Args,
		env:   env,
		files: files,
		sys:   &syscall.SysProcAttr{Setsid: true, Setctty: onTerm, Ctty: 0, Credential: spec.Credential.system()},
		cred:  spec.Credential,
	}
	if err := l.find(spec); err != nil {
		return nil, err
	}
	return l, nil
}
