//go:build unix

package execd

import (
	"context"

	"github.com/rexec/rex/internal/process"
	"github.com/rexec/rex/session"
)

// A Program is a command that whoever runs the server has chosen, and no
// client: nothing of it is filtered or added to.
type Program struct {
	// Argv is the exact vector. Argv[0] is looked up in the PATH of Env if it has
	// no slash, and otherwise relative to Dir.
	Argv []string
	// Env is the whole environment, "NAME=value" each. Nil is that of a login.
	Env []string
	// Dir is the working directory; empty is the home directory.
	Dir string
	// Login is whose rights it runs with; nil is this process's user.
	Login *Login
	// Terminal makes its stdout a terminal, for programs that hold their output
	// back where it is none. What they write arrives as it is; stdin and stderr
	// remain pipes.
	Terminal bool
}

// StartProgram starts a program with pipes for stdin, stdout and stderr. Its
// errors are those of [Handler.Start], and so is what to do with the Process.
func (h *Handler) StartProgram(ctx context.Context, prog *Program) (session.Process, error) {
	var granted any
	if prog.Login != nil {
		granted = prog.Login
	}
	req := &session.Request{Peer: session.Peer{Login: granted}, Argv: prog.Argv, Dir: prog.Dir, Stdin: true, Stdout: true, Stderr: true}
	l, err := h.loginOf(granted)
	if err != nil {
		return nil, err
	}
	spec, err := h.spec(l, req)
	if err != nil {
		return nil, err
	}
	if spec.Args = prog.Argv; len(prog.Argv) > 0 {
		spec.Path = prog.Argv[0]
	}
	if spec.Env = prog.Env; prog.Env == nil {
		spec.Env = l.variables(h.tz)
	}
	if prog.Terminal {
		spec.Term = outputTerm(h.ttyGroup)
	}
	return started(h.launch(ctx, spec, req, false, &running{}))
}

// outputTerm is a terminal that lets bytes through as they are.
func outputTerm(group uint32) *process.Term {
	return &process.Term{
		StdoutOnly: true, Rows: 24, Cols: 80, Group: group,
		Modes: map[string]uint32{"OPOST": 0, "ECHO": 0},
	}
}
