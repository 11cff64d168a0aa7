package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/internal/term"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session"
)

// A link is the connection to a daemon, and how it was made.
type link struct {
	conn io.ReadWriteCloser
	// hint is what to type when the connection ends before the command was
	// started; empty if nothing special is known.
	hint string
	// program, if the connection is one's input and output, names it.
	program string
	// socket is where a connection for the command alone is made when it is
	// started, with our own stdin, stdout and stderr, as user; empty otherwise.
	socket, user string
	// login is how the connection over the network was made, nil otherwise.
	login *login.Conn
}

// A programConn is a program's input and output, and knows whether anything
// has come from there.
type programConn struct {
	transport.Conn
	heard atomic.Bool
}

func (c *programConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

// silent reports whether the connection is a program's of which nothing was
// heard: a daemon says hello before it starts anything.
func (l *link) silent() bool {
	child, ok := l.conn.(*programConn)
	return ok && !child.heard.Load()
}

// whyEnded says that the program behind the connection has ended, if it has,
// which its connection tells a moment earlier. A program whose input and
// output are closed is about to.
func (l *link) whyEnded() string {
	conn, _ := l.conn.(*programConn)
	if conn == nil {
		return ""
	}
	child, ok := conn.Conn.(*transport.CommandConn)
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

// place is where rex connects to.
func (r *runner) place() string {
	if r.inv.logsIn() {
		user, _ := r.remoteUser()
		return user + "@" + net.JoinHostPort(r.inv.tokenHost(), strconv.Itoa(r.inv.portNumber()))
	}
	return r.inv.target.text
}

// logsIn reports whether the connection is one over the network, to log in on.
func (v *invocation) logsIn() bool {
	return v.target.kind == targetNetwork && (!v.proxyCommand.set || v.proxyCommand.value == "none")
}

// connect makes the connection that the command line asks for.
func (r *runner) connect(ctx context.Context) *failure {
	switch {
	case r.inv.target.kind == targetLocal:
		return r.connectLocal(ctx)
	case r.inv.target.kind == targetUnix:
		return r.connectUnix(ctx)
	case !r.inv.logsIn():
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
		return fail(howLogin, "cannot start %s: %s", r.link.program, plain(err)).withHint("%s", r.again("-v"))
	}
	r.link.conn = &programConn{Conn: conn}
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
	if r.passes() {
		r.link.socket, r.link.user = path, name
		return nil
	}
	conn, err := transport.DialUnix(ctx, path, name)
	if err != nil {
		return r.explainUnix(path, err)
	}
	r.link.conn = conn
	return nil
}

// passes reports whether the command can have our own stdin, stdout and stderr,
// which neither a service nor a command that is to be kept takes.
// One that another program has made non-blocking is better copied: programs
// take EAGAIN for an error.
func (r *runner) passes() bool {
	files := []*os.File{r.env.Stdin, r.env.Stdout, r.env.Stderr}
	if r.inv.stdinNull.value {
		files = files[1:]
	}
	return !r.streams && r.inv.tty.value != ttyForce && r.inv.orphan != session.OrphanKeep && r.inv.kind() != sessionSubsystem && !slices.ContainsFunc(files, func(f *os.File) bool {
		return !session.CanPass(f) || !term.Blocks(f)
	})
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
		return f.withHint("is the daemon stopped? %s", r.again("-o", "ConnectTimeout=60"))
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
