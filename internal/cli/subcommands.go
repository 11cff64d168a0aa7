package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A word is a subcommand only as the very first argument: rex exec host ...,
// but rex -- exec ... and rex -T exec ... run commands on a host named exec.

// laterSubcommands are names that later versions use, and that are kept free
// for them.
var laterSubcommands = [...]string{"cp", "ping"}

// The subcommands that run something on a host.
const (
	verbExec    = "exec"
	verbService = "service"
)

// isSubcommand reports whether a first argument is one.
func isSubcommand(word string) bool {
	switch word {
	case verbExec, verbService, "version", "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return slices.Contains(laterSubcommands[:], word)
}

// subcommand runs words[0].
func (p *program) subcommand(words []string) int {
	if slices.Contains(laterSubcommands[:], words[0]) {
		p.ui.fail(notYet("rex "+words[0]+" is", "for a host of that name: rex -- %s command", words[0]))
		return statusOwn
	}
	status := 0
	root := p.tree(&status)
	root.SetArgs(words)
	if err := root.Execute(); err != nil {
		p.ui.fail(asFailure(err))
		return statusOwn
	}
	return status
}

// tree is the tree of subcommands, which set status.
func (p *program) tree(status *int) *cobra.Command {
	root := &cobra.Command{
		Use: "rex", SilenceErrors: true, SilenceUsage: true, DisableFlagParsing: true,
		Args: cobra.ArbitraryArgs, ValidArgsFunction: completeHost,
		RunE: func(*cobra.Command, []string) error { return usage("no host given") },
	}
	root.SetOut(p.env.Stdout) // before the completion command, which keeps it
	root.SetErr(p.env.Stderr)
	root.SetHelpFunc(func(*cobra.Command, []string) { *status = p.print(helpText()) })
	onHost := func(verb, short string) *cobra.Command {
		return &cobra.Command{
			Use: verb, Short: short, DisableFlagParsing: true,
			ValidArgsFunction: completeHost,
			RunE: func(_ *cobra.Command, args []string) error {
				*status = p.command(args, verb)
				return nil
			},
		}
	}
	version := &cobra.Command{Use: "version", Short: "print the version", Args: noArgs}
	asJSON := version.Flags().Bool("json", false, "as JSON")
	version.RunE = func(*cobra.Command, []string) error {
		*status = p.printVersion(*asJSON)
		return nil
	}
	root.AddCommand(onHost(verbExec, "run a program with exact arguments"), onHost(verbService, "run a service of a host"), version)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	completion, _, _ := root.Find([]string{"completion"})
	completion.RunE = func(*cobra.Command, []string) error {
		return usage("rex completion needs the name of a shell").withHint("rex completion bash, or zsh, fish, powershell")
	}
	return root
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("rex %s takes no %q", c.Name(), args[0]).withHint("rex %s", c.Name())
	}
	return nil
}

// completeHost offers options and hosts until a host stands there: what comes
// then is the other machine's.
func completeHost(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if inv, _ := parseArgs(args, false); inv.target.text != "" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if !strings.HasPrefix(word, "-") {
		return []string{"local:\ta daemon for this one command", "unix:\ta daemon's socket"},
			cobra.ShellCompDirectiveNoSpace
	}
	var offers []string
	longFlags(&options{}).VisitAll(func(f *pflag.Flag) {
		if offer := "--" + f.Name; strings.HasPrefix(offer, word) {
			_, text := pflag.UnquoteUsage(f)
			offers = append(offers, offer+"\t"+text)
		}
	})
	return offers, cobra.ShellCompDirectiveNoFileComp
}
