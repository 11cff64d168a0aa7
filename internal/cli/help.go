package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// helpText is how rex is used, on one page.
func helpText() string {
	var b strings.Builder
	b.WriteString(`rex runs a command on another machine, as ssh does, and is exact about it.

usage:
  rex [options] [user@]host [options] [command...]   words joined by a space, for the login shell;
                                                     no command: the login shell on a terminal
  rex exec [options] [user@]host program [args...]   the arguments as they are, without a shell
  rex service [options] [user@]host name             a program that the host's rexd.toml has under that name
  rex version [--json]
  rex help
  rex completion bash|zsh|fish|powershell

hosts:
  name, address, host:port, [address]:port, ssh://user@host:port
                     a daemon on the network: rexd --listen :7390
  local:             a daemon that rex starts for this one command
  unix:/path         a daemon on this machine: rexd --listen unix:/path
  A host with the name of a subcommand: rex -- exec command

options of ssh:
  -t, -tt            with a terminal; also without one here
  -T                 without a terminal
  -n                 do not read stdin, as in while-read loops
  -q, -v             say less, more (-vv, -vvv)
  -l USER, -p PORT   as user@host:port
  -i FILE            a private key to log in with; may be repeated
  -4, -6, -b ADDR    over IPv4 or IPv6 only; from this address
  -e KEY             the escape key, ~ by default, or none; KEY? lists the escapes
  -E FILE            what rex says goes to FILE
  -o KEY=VALUE       ` + activeKeywords + `;
                     others of ssh's are accepted
  -s                 the word behind the host is the name of a service, as with rex service
  -V                 print the version

options of rex:
`)
	longFlags(&options{}).VisitAll(func(f *pflag.Flag) {
		name, text := pflag.UnquoteUsage(f)
		option := "--" + f.Name
		if f.NoOptDefVal == "" {
			option += " " + name
		}
		fmt.Fprintf(&b, "  %-21s %s\n", option, text)
	})
	b.WriteString(`
With a terminal the command gets TERM, LANG and LC_* from here.

exit status:
  the command's own; 128+n if signal n ended it; 124 if --timeout did; 126 not executable;
  127 not found; 255 if rex itself failed, with the reason on stderr and in --status-file
`)
	return b.String()
}
