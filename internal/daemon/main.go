//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/rexec/rex/session/execd"
)

// An Env is what the program gets from its surroundings.
type Env struct {
	// Args are the arguments without the program's name.
	Args []string
	// Stdin and Stdout are the connection of --stdio: descriptors 0 and 1.
	// What people are told goes to Stdout where they asked for it, and to
	// Stderr otherwise, as do logs.
	Stdin, Stdout, Stderr *os.File
	Getenv                func(string) string
	// Environ is the environment that rexd service run gives to its program.
	Environ []string
	// Listen listens on the network; nil is TCP.
	Listen func(ctx context.Context, network, addr string) (net.Listener, error)
	// Self is the argument vector that runs this program as rexd again, to
	// which arguments are appended. Empty: it cannot be run again, and trees
	// of processes are not held by keepers.
	Self []string
}

// What rexd exits with.
const (
	exitOK    = 0
	exitError = 1 // something did not work
	exitUsage = 2 // flags or configuration
)

// Main runs rexd and returns the status to exit with. It changes the state of
// the whole process: umask, dispositions of signals, and with --stdio the
// descriptors 0 and 1. (Those of 0 to 2 that were closed at start are
// /dev/null: Go's runtime sees to that on every Unix.)
func Main(env Env) int {
	if len(env.Args) == 1 && env.Args[0] == "session" {
		return execd.KeeperMain() // hidden; before anything is changed
	}
	p := &program{env: env}
	err := p.run()
	if err == nil {
		return exitOK
	}
	report(env.Stderr, err)
	return exitCode(err)
}

// A program is one run of rexd.
type program struct {
	env   Env
	flags *flags
}

func (p *program) run() error {
	if len(p.env.Args) > 0 && p.env.Args[0] == "service" {
		return p.runService(p.env.Args[1:])
	}
	var err error
	if p.flags, err = parseFlags(p.env.Args); err != nil {
		return err
	}
	switch {
	case p.flags.help:
		return say(p.env.Stdout, usage)
	case p.flags.version:
		return say(p.env.Stdout, fmt.Sprintf("rexd %s (%s/%s, %s)\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version()))
	case p.flags.stdio:
		return p.stdio()
	case p.flags.check:
		return p.check()
	}
	return p.serve()
}

// say writes what somebody asked for.
func say(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// version is the version of the module this was built as.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// handlerOptions is how commands are run.
func (p *program) handlerOptions(s *settings) execd.Options {
	opts := execd.Options{Mode: s.tree, TZ: p.env.Getenv("TZ")}
	if len(p.env.Self) > 0 {
		opts.Keeper = append(slices.Clone(p.env.Self), "session")
	}
	return opts
}
