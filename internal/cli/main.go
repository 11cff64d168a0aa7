package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Main runs the program and returns its exit status. It ends the process only
// to let a signal be seen by whoever waits for it.
func Main(env Env) (status int) {
	if len(env.Args) > 1 && env.Args[1] == daemonWord {
		return runDaemon(env)
	}
	p := &program{env: env, ui: newUI(env.Stderr)}
	defer func() {
		if r := recover(); r != nil {
			p.ui.fail(p.ui.panicked(r))
			status = statusOwn
		}
	}()
	var words []string
	if len(env.Args) > 1 {
		words = env.Args[1:]
	}
	switch {
	case p.strict():
		return p.command(words, "")
	case len(words) > 0 && isSubcommand(words[0]):
		return p.subcommand(words)
	}
	return p.command(words, "")
}

// program is one run of rex.
type program struct {
	env Env
	ui  *ui
}

// strict reports whether rex was started as ssh, by programs that know no
// other name: then it has neither subcommands nor long options.
func (p *program) strict() bool {
	if len(p.env.Args) == 0 {
		return false
	}
	name := strings.TrimSuffix(filepath.Base(p.env.Args[0]), ".exe")
	return name == "ssh" || name == "slogin"
}

// command parses a command line with a host and does what it says. Of exec the
// command's words arrive as they are; of service they are its name.
func (p *program) command(words []string, verb string) int {
	exact := verb == verbExec
	inv, err := parseArgs(words, p.strict())
	if inv.version {
		return p.printVersionShort(inv)
	}
	if inv.help {
		return p.print(helpText())
	}
	if err == nil && verb == verbService {
		err = inv.asService()
	}
	if err == nil {
		err = p.check(inv, exact)
	}
	if lerr := p.openLog(inv); err == nil && lerr != nil {
		err = lerr
	}
	status, serr := openStatusFile(inv.statusFile)
	if serr != nil {
		status = &statusFile{}
		err = usage("cannot write the status file: %v", serr).withHint("rex --status-file ~/rex-status.json HOST command")
	}
	var out outcome
	if err != nil {
		out = failed(asFailure(err))
	} else {
		out = p.runCommand(inv, exact)
	}
	return p.end(inv, status, out)
}

// check refuses command lines that are right but ask for what cannot be.
func (p *program) check(inv *invocation, exact bool) error {
	switch f := inv.cannot(); {
	case f != nil:
		return f
	case inv.noLogin.set && inv.logsIn():
		return inv.noLogin.value
	case inv.json:
		return usage("--json is for rex version; a command's output is its own").
			withHint("%s", inv.retype(exact, inv.words, "--status-file", "FILE"))
	case exact && (len(inv.words) == 0 || inv.words[0] == ""):
		return usage("rex exec needs a program to run").withHint("rex exec HOST program arguments, or rex HOST for a shell")
	case exact && inv.kind() == sessionSubsystem:
		return usage("rex exec and -s exclude each other").withHint("rex service HOST NAME")
	case exact && inv.remoteCommand.set:
		return usage("rex exec and -o RemoteCommand exclude each other")
	}
	return nil
}

// openLog sets how much rex says, and where to.
func (p *program) openLog(inv *invocation) error {
	p.ui.configure(inv.level.value, nil)
	if inv.logFile == "" {
		return nil
	}
	f, err := os.OpenFile(inv.logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return usage("cannot write the log: %v", err).withHint("rex -E ~/rex.log HOST command")
	}
	p.ui.configure(inv.level.value, f) // open until the end
	return nil
}

func (p *program) runCommand(inv *invocation, exact bool) outcome {
	for _, warning := range inv.warnings {
		p.ui.warnf("%s", warning)
	}
	return newRunner(p.env, p.ui, inv, exact).run()
}

// end says what has to be said, writes the status file and returns the exit
// status, unless rex ends by a signal.
func (p *program) end(inv *invocation, status *statusFile, out outcome) int {
	err := status.write(newStatusRecord(inv.target.text, out))
	if err != nil && out.failure == nil {
		out.status = statusOwn
		out.failure = fail(howUsage, "cannot write the status file: %v", err).withHint("ls -ld %s", shellQuote(filepath.Dir(status.name)))
	}
	if out.failure != nil {
		p.ui.fail(out.failure)
	}
	if out.raise != nil {
		raise(out.raise)
	}
	return out.status
}

// print writes rex's own output, which is all that ever goes to stdout.
func (p *program) print(text string) int {
	if _, err := io.WriteString(p.env.Stdout, text); err != nil && !isBrokenPipe(err) {
		p.ui.fail(fail(howUsage, "cannot write stdout: %v", withoutPath(err)))
		return statusOwn
	}
	return 0
}

// asFailure is err if it is one, and a failure with its text otherwise.
func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return usage("%s", fmt.Sprint(err))
}
