package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/internal/transport"
)

// A link is the connection to a daemon, and how it was made.
type link struct {
	conn io.ReadWriteCloser
	// hint is what to type when the connection ends before the command was
	// started; empty if nothing special is known.
	hint string
	// program, if the connection is one's input and output, names it.
	program string
	// login is how the connection over the network was made, nil otherwise.
	login *login.Conn
}

// whyEnded says that the program behind the connection has ended, if it has,
// which its connection tells a moment earlier. A program whose input and
// output are closed is about to.
func (l *link) whyEnded() string {
	child, ok := l.conn.(*transport.CommandConn)
	if !ok {
		return ""
	}
	select {
	case <-child.Exited():
	case <-time.After(time.Second):
		return ""
	}
	if err := child.ExitErr(); err != nil {
		return fmt.Sprintf("%s ended: %v", l.program, err)
	}
	return l.program + " ended"
}

// connect makes the connection that the command line asks for.
func (r *runner) connect(ctx context.Context) *failure {
	switch {
	case r.inv.target.kind == targetLocal:
		return r.connectLocal(ctx)
	case r.inv.target.kind == targetUnix:
		return r.connectUnix(ctx)
	case r.inv.proxyCommand.set && r.inv.proxyCommand.value != "none":
		return r.connectProxy(ctx)
	}
	return r.connectNetwork(ctx)
}

// connectLocal starts a daemon for this one session.
func (r *runner) connectLocal(ctx context.Context) *failure {
	if r.inv.user.set && !isMe(r.inv.user.value) {
		return usage("local: runs commands as yourself, not as %q", r.inv.user.value).withHint("rex local: command")
	}
	cmd, err := localCommand()
	if err != nil {
		return fail(howUsage, "local: is not supported on this system").
			withHint("rex -o ProxyCommand='ssh HOST rexd --stdio' HOST command")
	}
	r.link.program = "the daemon of local:"
	return r.dialCommand(ctx, cmd, r.ui.verbosity() >= levelVerbose)
}

// connectProxy lets the user's shell run the ProxyCommand, as ssh does. It
// gets rex's terminal, to ask for a password for example, but with BatchMode,
// which also keeps the terminal's interrupts from it.
func (r *runner) connectProxy(ctx context.Context) *failure {
	line, err := r.expand(r.inv.proxyCommand.value)
	if err != nil {
		return usage("ProxyCommand: %v", err).withHint("rex -o ProxyCommand='ssh %%h rexd --stdio' HOST command")
	}
	shell := r.env.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	cmd := exec.Command(shell, "-c", "exec "+line)
	if r.inv.batchMode.value {
		detach(cmd)
	}
	r.ui.debugf("ProxyCommand: %s", line)
	r.link.program = "the ProxyCommand"
	r.link.hint = fmt.Sprintf("the ProxyCommand must end in rexd --stdio at the host; try it alone: %s </dev/null", line)
	if f := r.dialCommand(ctx, cmd, true); f != nil {
		return f.withHint("%s", r.link.hint)
	}
	r.proxy.Store(cmd.Process)
	return nil
}

// dialCommand connects to a program's input and output.
func (r *runner) dialCommand(ctx context.Context, cmd *exec.Cmd, showStderr bool) *failure {
	if showStderr {
		cmd.Stderr = r.env.Stderr
	}
	conn, err := transport.DialCommand(ctx, cmd)
	if err != nil {
		return fail(howLogin, "cannot start %s: %s", r.link.program, plain(err)).withHint("rex -v %s", r.again())
	}
	r.link.conn = conn
	return nil
}

// connectUnix connects to a daemon's socket on this machine.
func (r *runner) connectUnix(ctx context.Context) *failure {
	path, err := filepath.Abs(r.inv.target.path)
	if err != nil {
		return fail(howLogin, "%v", err).withHint("rex unix:/path/to/socket command")
	}
	var name string
	if r.inv.user.set {
		name = r.inv.user.value
	}
	conn, err := transport.DialUnix(ctx, path, name)
	if err != nil {
		return r.explainUnix(path, err)
	}
	r.link.conn = conn
	return nil
}

// explainUnix says why a socket does not answer, and what to do.
func (r *runner) explainUnix(path string, err error) *failure {
	f := fail(howLogin, "%s", plain(err))
	quoted := shellQuote(path)
	if refused, ok := errors.AsType[*transport.RefusedError](err); ok {
		f.msg = refused.Error()
		return f.withHint("a socket serves the user who runs the daemon; without another name: rex unix:%s command", quoted)
	}
	if _, ok := errors.AsType[*transport.UnsafePathError](err); ok {
		return f.withHint("ls -ld %s %s", quoted, shellQuote(filepath.Dir(path)))
	}
	if foreign, ok := errors.AsType[*transport.ForeignPeerError](err); ok && foreign.Protocol == "ssh" {
		return f.withHint("rexd listens elsewhere than sshd: rexd --listen unix:%s", quoted)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		f.msg = fmt.Sprintf("no daemon listens on %s: %s", path, plain(cause(err)))
		return f.withHint("rexd --listen unix:%s", quoted)
	case errors.Is(err, fs.ErrPermission):
		return f.withHint("ls -ld %s %s", quoted, shellQuote(filepath.Dir(path)))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return f.withHint("is the daemon stopped? rex -o ConnectTimeout=60 %s", r.again())
	case errors.Is(err, errors.ErrUnsupported):
		return f.withHint("rex -o ProxyCommand='ssh HOST rexd --stdio' HOST command")
	}
	return f.withHint("ls -l %s", quoted)
}

// cause is the innermost error.
func cause(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
