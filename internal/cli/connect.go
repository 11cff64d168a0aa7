package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

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
	name := shellQuote(r.inv.tokenHost())
	return fail(howUsage, "rex does not speak TCP in this version").
		withHint("rex -o ProxyCommand='ssh %s rexd --stdio' %s", name, r.again())
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

// expand replaces %h, %p, %r, %n and %% by what was checked when the command
// line was read. Other tokens of ssh would name things that rex does not have.
func (r *runner) expand(line string) (string, error) {
	var b strings.Builder
	for rest := line; ; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after == "" {
			return "", errors.New("a single % at the end")
		}
		switch after[0] {
		case '%':
			b.WriteByte('%')
		case 'h':
			b.WriteString(r.inv.tokenHost())
		case 'n':
			b.WriteString(r.inv.target.host)
		case 'p':
			b.WriteString(strconv.Itoa(r.inv.portNumber()))
		case 'r':
			name, err := r.remoteUser()
			if err != nil {
				return "", err
			}
			b.WriteString(name)
		default:
			return "", fmt.Errorf("unknown token %%%c: there are %%h, %%p, %%r, %%n and %%%%", after[0])
		}
		rest = after[1:]
	}
}

// remoteUser is the user asked for, or the one who runs rex.
func (r *runner) remoteUser() (string, error) {
	if r.inv.user.set {
		return r.inv.user.value, nil
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	if err := checkUser(me.Username); err != nil {
		return "", err
	}
	return me.Username, nil
}

// isMe reports whether name is the account that runs rex.
func isMe(name string) bool {
	me, err := user.Current()
	return err == nil && (me.Username == name || me.Uid == name)
}
