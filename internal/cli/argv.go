package cli

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/rexec/rex/session"
)

// The command line of ssh: options, the host, options again, then the command,
// of which nothing is parsed. Letters may be bundled, a value may be attached
// to its letter or follow it. "--" before the host ends options for good,
// after the host it begins the command. Options with two dashes are rex's own,
// with "=" or a separate value.

// Letters of ssh without and with a value.
const (
	plainLetters = "1246AaCfGgKkMNnqsTtVvXxYy"
	valueLetters = "BbcDEeFIiJLlmOoPpQRSWw"
)

// An invocation is a command line that was understood.
type invocation struct {
	options
	target target
	words  []string // the command

	service bool       // by the subcommand
	given   [][]string // the options, each of one or two words
	hostAt  int        // how many of them stand before the host
}

// grammar parses one command line.
type grammar struct {
	inv    *invocation
	rest   []string // words not yet taken
	strict bool     // as ssh: no long options
	longs  *pflag.FlagSet
}

// parseArgs parses the words after the program's name. The invocation is not
// nil even if there is an error: it then holds what came before the mistake.
func parseArgs(words []string, strict bool) (*invocation, error) {
	g := &grammar{inv: &invocation{}, rest: words, strict: strict}
	ended, err := g.options()
	if err != nil || g.inv.version || g.inv.help {
		return g.inv, err
	}
	if len(g.rest) == 0 {
		return g.inv, usage("no host given").withHint("rex user@host command, or rex help")
	}
	host := g.rest[0]
	g.rest = g.rest[1:]
	if g.inv.target, err = parseTarget(host); err != nil {
		return g.inv, err
	}
	g.inv.hostAt = len(g.inv.given)
	g.inv.adopt()
	if !ended {
		if _, err = g.options(); err != nil {
			return g.inv, err
		}
	}
	g.inv.words = g.rest
	return g.inv, g.inv.settle()
}

// options takes options until something else comes, and reports whether it was
// "--", which it takes too.
func (g *grammar) options() (ended bool, err error) {
	for len(g.rest) > 0 && err == nil && !g.inv.version && !g.inv.help {
		word := g.rest[0]
		if len(word) < 2 || word[0] != '-' {
			return false, nil
		}
		g.rest = g.rest[1:]
		switch {
		case word == "--":
			return true, nil
		case strings.HasPrefix(word, "--") && !g.strict:
			err = g.long(word[2:])
		default:
			err = g.bundle(word[1:])
		}
	}
	return false, err
}

// bundle takes the letters of one word.
func (g *grammar) bundle(letters string) error {
	for i := range len(letters) {
		letter := letters[i]
		switch {
		case strings.IndexByte(plainLetters, letter) >= 0:
			g.given("-" + string(letter))
			if err := g.inv.flag(letter); err != nil {
				return err
			}
		case strings.IndexByte(valueLetters, letter) >= 0:
			value, err := g.value(letters[i+1:], "-"+string(letter))
			if err != nil {
				return err
			}
			g.given("-"+string(letter), value)
			return g.inv.flagValue(letter, value)
		default:
			return usage("unknown option -%c", letter)
		}
	}
	return nil
}

// given notes an option, to be typed again.
func (g *grammar) given(words ...string) { g.inv.given = append(g.inv.given, words) }

// value is what is attached to an option, or the next word.
func (g *grammar) value(attached, option string) (string, error) {
	if attached != "" {
		return attached, nil
	}
	if len(g.rest) == 0 {
		return "", usage("option %s needs a value", option)
	}
	value := g.rest[0]
	g.rest = g.rest[1:]
	return value, nil
}

// long takes an option with two dashes.
func (g *grammar) long(word string) (err error) {
	if g.longs == nil {
		g.longs = longFlags(&g.inv.options)
	}
	name, value, attached := strings.Cut(word, "=")
	flag := g.longs.Lookup(name)
	if flag == nil {
		return usage("unknown option --%s", name)
	}
	if !attached {
		value = flag.NoOptDefVal
	}
	if !attached && value == "" {
		if value, err = g.value("", "--"+name); err != nil {
			return err
		}
	}
	if flag.NoOptDefVal == value {
		g.given("--" + name)
	} else {
		g.given("--" + name + "=" + value)
	}
	if err := flag.Value.Set(value); err != nil {
		return usage("option --%s: %v", name, err)
	}
	return nil
}

// adopt takes over what the host's spelling says. It is called where the host
// stands, so that a -l before it wins and one after it does not, as with ssh.
func (v *invocation) adopt() {
	if v.target.user != "" {
		v.user.put(v.target.user)
	}
	if v.target.port != 0 {
		v.port.put(v.target.port)
	}
}

// settle checks what only the whole command line tells.
func (v *invocation) settle() error {
	if v.user.set {
		if err := checkUser(v.user.value); err != nil {
			return err
		}
	}
	if v.remoteCommand.set && len(v.words) > 0 {
		return usage("a command and -o RemoteCommand exclude each other")
	}
	if v.kind() == sessionSubsystem {
		return v.settleService()
	}
	return nil
}

// asService is the command line of the subcommand service: one with -s.
func (v *invocation) asService() error {
	v.service = true
	v.session = once[sessionType]{sessionSubsystem, true}
	return v.settle()
}

// settleService checks what is said about a service, which decides for itself
// but for its streams.
func (v *invocation) settleService() error {
	how := "rex -s HOST NAME"
	if v.service {
		how = "rex service HOST NAME"
	}
	switch {
	case v.remoteCommand.set:
		return usage("a service and -o RemoteCommand exclude each other").withHint("%s", how)
	case len(v.words) == 0 || v.words[0] == "":
		return usage("the name of a service is missing").withHint("%s", how)
	case len(v.words) > 1:
		return usage("a service takes no arguments, and %q is one", v.words[1]).withHint("%s", how)
	case v.dir != "":
		return usage("a service has a directory of its own, --dir is not for it").withHint("%s", how)
	case v.orphan == session.OrphanKeep:
		return usage("a service ends with its client, --orphan keep is not for it").withHint("%s", how)
	}
	return nil
}

func (v *invocation) kind() sessionType { return v.session.value }

// defaultPort is where rexd listens.
const defaultPort = 7390

// portNumber is the port in effect.
func (v *invocation) portNumber() int {
	if v.port.set {
		return v.port.value
	}
	return defaultPort
}
