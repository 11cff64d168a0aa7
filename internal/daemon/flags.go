//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
)

const usage = `usage:
  rexd [--config FILE] [--listen ADDR]... [--host-key FILE]...
       [--authorized-keys FILE]... [--allow-user USER]... [--allow-group GROUP]...
       [--log-level LEVEL] [--check]
  rexd --stdio [--config FILE] [--log-level LEVEL]
  rexd service run --listen ADDR... [flags] -- program args...
  rexd version

rexd runs commands for rex. With "service run" it serves one program to any
client; rexd service run --help says how.

  --listen ADDR      listen on ADDR, which is host:port, :port or unix:/path
  --host-key FILE    prove to be this host with the key in FILE, and not with
                     those of sshd (as root) or one of rexd's own
  --authorized-keys FILE
                     let in the keys in FILE, and not in ~/.ssh/authorized_keys
  --allow-user USER  let USER log in over the network; root's rexd lets in only
                     who is allowed
  --allow-group GROUP
                     let the members of GROUP log in
                     These may be repeated, and replace what the configuration
                     says.
  --config FILE      read FILE instead of /etc/rex/rexd.toml (as root) or
                     ~/.config/rex/rexd.toml
  --log-level LEVEL  debug, info, warn or error
  --check            check the configuration, print what it means and exit
  --stdio            serve one session on standard input and output, which are
                     pipes or a socket, and exit
  --version          print the version and exit
  --help             print this and exit

SIGTERM and SIGINT stop accepting and wait for running commands, a second one
ends them. SIGHUP reads the configuration again. SIGUSR1 logs what is in use.
`

const hintHelp = "rexd --help lists the flags"

// flags are the arguments of rexd.
type flags struct {
	config string // empty: the default file, if it is there
	listen []string

	hostKeys, authorizedKeys, allowUsers, allowGroups []string

	level   *slog.Level // nil: as configured
	check   bool
	stdio   bool
	version bool
	help    bool
}

// parseFlags parses the arguments; its errors are usage errors.
func parseFlags(args []string) (*flags, error) {
	f := &flags{}
	set := f.set()
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help = true
		return f, nil
	case err != nil:
		return nil, usageErrorf(hintHelp, "%s", flagMessage(err))
	}
	return f, f.checkArgs(set.Args())
}

func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("rexd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Func("config", "", func(v string) error {
		if v == "" {
			return errors.New("empty name of a file")
		}
		f.config = v
		return nil
	})
	for name, list := range map[string]*[]string{
		"listen": &f.listen, "allow-user": &f.allowUsers, "allow-group": &f.allowGroups,
	} {
		set.Func(name, "", func(v string) error {
			*list = append(*list, v)
			return nil
		})
	}
	set.Func("host-key", "", fileFlag(&f.hostKeys))
	set.Func("authorized-keys", "", fileFlag(&f.authorizedKeys))
	set.Func("log-level", "", func(v string) error {
		level, err := parseLevel(v)
		f.level = &level
		return err
	})
	set.BoolVar(&f.check, "check", false, "")
	set.BoolVar(&f.stdio, "stdio", false, "")
	set.BoolVar(&f.version, "version", false, "")
	set.BoolVar(&f.help, "help", false, "")
	return set
}

// fileFlag takes names of files, which are relative to where rexd was started.
func fileFlag(list *[]string) func(string) error {
	return func(v string) error {
		if v == "" {
			return errors.New("empty name of a file")
		}
		abs, err := filepath.Abs(v)
		*list = append(*list, abs)
		return err
	}
}

// flagMessage is the flag package's message in the spelling of this program.
func flagMessage(err error) string {
	msg := err.Error()
	if name, ok := strings.CutPrefix(msg, "flag provided but not defined: -"); ok {
		return "unknown flag --" + name
	}
	return strings.NewReplacer("flag -", "flag --", ": -", ": --", "for -", "for --").Replace(msg)
}

func (f *flags) checkArgs(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		f.version = true
	case len(args) == 1 && args[0] == "help":
		f.help = true
	case len(args) > 0:
		return usageErrorf(hintHelp, "unexpected argument %q", args[0])
	case f.stdio && f.check:
		return usageErrorf("rexd --check [--config FILE]", "--stdio and --check do not go together")
	case f.stdio && len(f.listen) > 0:
		return usageErrorf("rexd --stdio", "--stdio and --listen do not go together")
	case f.stdio && len(f.hostKeys)+len(f.authorizedKeys)+len(f.allowUsers)+len(f.allowGroups) > 0:
		return usageErrorf("rexd --stdio", "--stdio has no login, and flags about logins do not go together with it")
	}
	return nil
}
