//go:build linux || darwin || freebsd

package daemon

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/session/execd"
)

// check prints what rexd would do, and fails if it could not. It binds
// nothing.
func (p *program) check() error {
	s, err := loadSettings(p.flags, p.env.Getenv, true)
	if err != nil {
		return &checkError{[]error{err}}
	}
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", key+":", fmt.Sprintf(format, args...))
	}
	line("config", "%s", p.describeFile(s))
	var errs []error
	if len(s.listen) == 0 {
		errs = append(errs, usageErrorf(hintNoAddress, "no address to listen on"))
	}
	for _, path := range s.listen {
		line("listen", "unix:%s", path)
		if err := transport.CheckListenUnix(path); err != nil {
			errs = append(errs, err)
		}
	}
	line("users", "%s", describeUsers())
	handler, err := execd.New(p.handlerOptions(s))
	if err != nil {
		errs = append(errs, fmt.Errorf("tree %s: %w", s.tree, err))
		line("tree", "none")
	} else {
		line("tree", "%s (%s)", handler.Mode(), handler.Reason())
		_ = handler.Close()
	}
	line("max_commands", "%d at once in a session", s.maxCommands)
	line("drain", "%s", s.drain)
	line("log_level", "%s", strings.ToLower(s.level.String()))
	if len(errs) == 0 {
		b.WriteString("ok\n")
	}
	if err := say(p.env.Stdout, b.String()); err != nil || len(errs) == 0 {
		return err
	}
	return &checkError{errs}
}

func (p *program) describeFile(s *settings) string {
	if s.file != "" {
		return s.file
	}
	name := defaultFile(os.Geteuid(), p.env.Getenv)
	return "none (" + cmp.Or(name, "a default one") + " does not exist)"
}

func describeUsers() string {
	if os.Geteuid() == 0 {
		return "root only: this version runs commands as nobody but the user it runs as, root too"
	}
	return fmt.Sprintf("%s (uid %d) only", userName(), os.Geteuid())
}
