//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	svc "github.com/rexec/rex/internal/service"
)

const serviceUsage = `usage:
  rexd service run --listen ADDR... [flags] -- program args...

Each connection to ADDR gets the program: what the client sends is its stdin,
what it writes to stdout is sent, its stderr goes to the log. Nothing is
encrypted and nobody logs in.

  --listen ADDR      listen on ADDR, which is host:port or unix:/path; may be
                     repeated
  --public           allow addresses that other hosts can reach
  --pty              make stdout a terminal, for programs that hold their
                     output back where it is none
  --max-instances N  run at most N at once; 256 by default
  --max-per-source N and of these N for one source: an IPv4 address, the /64 of
                     an IPv6 address, the user of a Unix socket; 64 by default
  --idle TIME        reset a connection when no byte has moved for so long; 10m
                     by default
  --timeout TIME     reset a connection after so long
  --max-input BYTES  reset a connection when it has sent more
  --max-output BYTES reset a connection when it would be sent more
  --linger-idle TIME read on when the program has ended, until nothing came for
                     so long; 2s by default
  --linger TIME      but no longer than this; 30s by default
  --log-level LEVEL  debug, info, warn or error
  --help             print this and exit

0 is no limit, and for --linger-idle none at all. SIGTERM, SIGINT and SIGHUP stop
accepting and wait up to 30 s for running programs, a second one ends them.
SIGUSR1 logs what is in use.
`

const (
	hintServiceHelp = "rexd service run --help lists the flags"
	hintServiceRun  = "rexd service run --listen 127.0.0.1:9999 -- tr a-z A-Z"
)

// serviceFlags are the arguments of rexd service run.
type serviceFlags struct {
	listen []string
	public bool
	pty    bool
	limits svc.Limits
	linger svc.Linger
	level  slog.Level
	help   bool
	argv   []string
}

// parseServiceFlags parses the arguments after "service"; its errors are usage
// errors.
func parseServiceFlags(args []string) (*serviceFlags, error) {
	if len(args) == 0 || args[0] != "run" && args[0] != "--help" && args[0] != "-h" {
		return nil, usageErrorf(hintServiceRun, "rexd service knows only run")
	}
	if args[0] == "run" {
		args = args[1:]
	}
	f := &serviceFlags{}
	set := f.set()
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help = true
		return f, nil
	case err != nil:
		return nil, usageErrorf(hintServiceHelp, "%s", flagMessage(err))
	}
	f.argv = set.Args()
	return f, f.check()
}

func (f *serviceFlags) set() *flag.FlagSet {
	set := flag.NewFlagSet("rexd service run", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Func("listen", "", func(v string) error {
		f.listen = append(f.listen, v)
		return nil
	})
	set.BoolVar(&f.public, "public", false, "")
	set.BoolVar(&f.pty, "pty", false, "")
	limitFlag(set, "max-instances", &f.limits.Instances, strconv.Atoi)
	limitFlag(set, "max-per-source", &f.limits.PerSource, strconv.Atoi)
	limitFlag(set, "idle", &f.limits.Idle, time.ParseDuration)
	limitFlag(set, "timeout", &f.limits.Total, time.ParseDuration)
	limitFlag(set, "max-input", &f.limits.Input, parseBytes)
	limitFlag(set, "max-output", &f.limits.Output, parseBytes)
	limitFlag(set, "linger-idle", &f.linger.Idle, time.ParseDuration)
	limitFlag(set, "linger", &f.linger.Total, time.ParseDuration)
	set.Func("log-level", "", func(v string) (err error) {
		f.level, err = parseLevel(v)
		return err
	})
	return set
}

// limitFlag is a limit for which 0 means none.
func limitFlag[T int | int64 | time.Duration](set *flag.FlagSet, name string, dst *T, parse func(string) (T, error)) {
	set.Func(name, "", func(v string) error {
		n, err := parse(v)
		switch {
		case err != nil || n < 0:
			return fmt.Errorf("%q is not %s", v, kindOfLimit(n))
		case n == 0:
			n = -1
		}
		*dst = n
		return nil
	})
}

func kindOfLimit(n any) string {
	if _, ok := n.(time.Duration); ok {
		return "a time such as 90s or 10m"
	}
	return "a number from 0 on"
}

func parseBytes(v string) (int64, error) { return strconv.ParseInt(v, 10, 64) }

func (f *serviceFlags) check() error {
	switch {
	case len(f.listen) == 0:
		return usageErrorf(hintServiceRun, "no address to listen on")
	case len(f.argv) == 0:
		return usageErrorf(hintServiceRun, "no program to run")
	}
	return nil
}
