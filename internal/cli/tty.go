package cli

import (
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/rexec/rex/internal/term"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// wantsPTY decides as ssh does: with a command only if asked for, without one
// unless forbidden, and not for a stdin that is no terminal unless it is asked
// for twice.
func (r *runner) wantsPTY() bool {
	tty := r.inv.tty.value
	want := tty == ttyYes || tty == ttyForce
	if tty == ttyAuto && !r.exact && !r.bare {
		want = strings.Join(r.inv.words, " ") == "" && !r.inv.remoteCommand.set
	}
	if !want || tty == ttyForce {
		return want
	}
	if !r.inv.stdinNull.value && term.IsTerminal(r.env.Stdin) {
		return true
	}
	if tty == ttyYes {
		r.ui.warnf("pseudo-terminal will not be allocated because stdin is not a terminal")
	}
	return false
}

// ptyRefused reports whether the daemon refused a command for whose pty nobody
// asked. Nothing of it ran. If the pty was not why, it is refused once more
// without.
func (r *runner) ptyRefused(err error) bool {
	return r.pty && r.inv.tty.value == ttyAuto && errors.Is(err, proto.CodePermissionDenied)
}

// typed reports whether the command's input is typed on this terminal and goes
// through the escapes.
func (r *runner) typed() bool {
	return r.pty && !r.inv.stdinNull.value && term.IsTerminal(r.env.Stdin)
}

// terminal describes this terminal for the command's: size, keys and modes, as
// ssh does. Where there is none to ask, it has the size that programs assume.
func (r *runner) terminal() *session.Term {
	t := &session.Term{Name: r.env.Getenv("TERM"), Rows: 24, Cols: 80, Modes: term.Modes(r.env.Stdin)}
	if t.Name == "" {
		t.Name = "dumb"
	}
	if rows, cols, ok := term.Size(r.env.Stdin, r.env.Stdout, r.env.Stderr); ok {
		t.Rows, t.Cols = rows, cols
	}
	r.size = [2]uint16{t.Rows, t.Cols}
	return t
}

// resize tells the command the size of this terminal, if it has another one.
func (r *runner) resize() {
	rows, cols, ok := term.Size(r.env.Stdin, r.env.Stdout, r.env.Stderr)
	if size := [2]uint16{rows, cols}; ok && r.pty && size != r.size {
		r.size = size
		_ = r.cmd.Resize(rows, cols)
	}
}

// attachKeyboard makes the terminal raw and lets the command have the keys. Its
// goroutine ends with the command's input, or the program.
func (r *runner) attachKeyboard(stdin io.WriteCloser) error {
	if err := r.raw.Enter(); err != nil {
		return err
	}
	k := &keyboard{
		in: r.env.Stdin, wait: func() error { return term.WaitReadable(r.env.Stdin) }, out: stdin,
		escapes:    escapes{key: r.inv.escapeChar()},
		disconnect: func(reason string) { r.leave(fail(howLost, "%s", reason), nil) },
		suspend:    r.suspend,
	}
	k.help = func() { r.ui.inform(k.escapeText()) }
	go r.guard(k.run)
	return nil
}

// suspend stops rex until the shell continues it. The command goes on, as far
// as its output has room.
func (r *runner) suspend() {
	if err := r.raw.Suspend(); err != nil {
		r.ui.warnf("cannot suspend: %v", err)
	}
}

// environment is what the command gets beside its login environment: with a
// pty the language, as ssh's SendEnv LANG LC_* of many systems does, then what
// was asked for, the most explicit last.
func (r *runner) environment() []string {
	var patterns, env []string
	if r.pty {
		patterns = []string{"LANG", "LC_*"}
	}
	patterns = append(patterns, r.inv.sendEnv...)
	for _, entry := range r.env.Environ() {
		if name, _, ok := strings.Cut(entry, "="); ok && sends(patterns, name) && checkEnv(entry) == nil {
			env = append(env, entry)
		}
	}
	return slices.Concat(env, r.inv.setEnv.value, r.inv.env)
}

// sends reports whether a variable matches the patterns of SendEnv, of which
// one with a - in front takes back earlier ones.
func sends(patterns []string, name string) bool {
	var sent bool
	for _, pattern := range patterns {
		pattern, back := strings.CutPrefix(pattern, "-")
		if ok, err := path.Match(pattern, name); ok && err == nil {
			sent = !back
		}
	}
	return sent
}

// warnDropped says which variables that were set on the command line the
// daemon has not passed on.
func (r *runner) warnDropped() {
	var names []string
	for _, entry := range slices.Concat(r.inv.setEnv.value, r.inv.env) {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(r.cmd.DroppedEnv(), name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		r.ui.warnf("the daemon does not pass on these variables: %s (they could change what runs, or what runs is a forced command or a service)",
			strings.Join(names, " "))
	}
	if dropped := r.cmd.DroppedEnv(); len(dropped) > 0 {
		r.ui.debugf("variables not passed on: %s", strings.Join(dropped, " "))
	}
}
