//go:build linux || darwin || freebsd

package daemon

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
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
	if !s.listens() {
		errs = append(errs, usageErrorf(hintNoAddress, "no address to listen on"))
	}
	for _, addr := range s.listen {
		line("listen", "%s", addr)
		if addr.path == "" {
			continue
		}
		if err := transport.CheckListenUnix(addr.path); err != nil {
			errs = append(errs, socketError(addr.path, err))
		}
	}
	if slices.ContainsFunc(s.listen, func(a address) bool { return a.path != "" }) {
		line("users", "%s", describeUsers())
	}
	errs = append(errs, p.checkNetwork(s, line)...)
	errs = append(errs, checkServices(s, line)...)
	handler, err := execd.New(p.handlerOptions(s))
	if err != nil {
		errs = append(errs, fmt.Errorf("tree %s: %w", s.tree, err))
		line("tree", "none")
	} else {
		line("tree", "%s (%s)", handler.Mode(), handler.Reason())
		_ = handler.Close()
	}
	line("max_commands", "%s", s.describeCommands())
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

// checkServices says what each service is, in a line.
func checkServices(s *settings, line func(key, format string, args ...any)) (errs []error) {
	if _, err := thisHost().services(context.Background(), s); err != nil {
		errs = append(errs, err)
	}
	for _, one := range s.services {
		line("service", "%s", escape(one.describe()))
		for _, addr := range one.listen {
			if addr.path == "" {
				continue
			}
			if err := transport.CheckListenUnix(addr.path); err != nil {
				errs = append(errs, socketError(addr.path, err))
			}
		}
	}
	return errs
}

// describe is a service in a line.
func (s *serviceSettings) describe() string {
	words := make([]string, len(s.command))
	for i, word := range s.command {
		words[i] = shellQuote(word)
	}
	text := fmt.Sprintf("%s runs %s as %s", s.name, strings.Join(words, " "), cmp.Or(s.user, "whoever asks"))
	who := strings.Join(slices.Concat(s.allowUsers, prefixed("@", s.allowGroups)), ", ")
	text += "; by name for " + cmp.Or(who, "everybody who may log in")
	how := "; on "
	for _, addr := range s.listen {
		text += how + addr.String()
		how = ", "
	}
	switch {
	case s.login:
		text += " for those of them who log in there"
	case len(s.listen) > 0: // without a login the lists mean nothing
		text += " for everybody who reaches it"
	}
	if n := len(s.onlyKeys); n > 0 {
		text += fmt.Sprintf("; keys bound to it: %d", n)
	}
	return text
}

func prefixed(prefix string, names []string) (list []string) {
	for _, name := range names {
		list = append(list, prefix+name)
	}
	return list
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
		return "root only, on Unix sockets"
	}
	return fmt.Sprintf("%s (uid %d) only", userName(), os.Geteuid())
}

// describeCommands names both bounds only if there are two.
func (s *settings) describeCommands() string {
	local, network := s.localCommands(), s.networkCommands()
	if local == network || len(s.onNetwork()) == 0 {
		return fmt.Sprintf("%d at once in a session", local)
	}
	return fmt.Sprintf("%d at once in a session, %d if it came over the network", local, network)
}

// checkNetwork says who may log in over TCP and who this host is.
func (p *program) checkNetwork(s *settings, line func(key, format string, args ...any)) (errs []error) {
	if len(s.onNetwork()) == 0 {
		return nil
	}
	n, err := newNetwork(context.Background(), s)
	if err != nil {
		errs = append(errs, err)
	} else {
		line("logins", "%s", n.login.describe(os.Geteuid()))
		for _, note := range n.notes {
			text := note.text
			for i := 0; i+1 < len(note.attrs); i += 2 {
				text += fmt.Sprintf(" %v=%v", note.attrs[i], note.attrs[i+1])
			}
			line("note", "%s", escape(text))
		}
	}
	src := s.login.keySource(os.Geteuid(), p.env.Getenv)
	keys, err := src.load(false)
	switch {
	case err != nil:
		return append(errs, err)
	case len(keys) == 0:
		line("host_key", "%s would be made", src.own)
	}
	for _, k := range keys {
		with := ""
		if k.key.Certificate() != nil {
			with = " with a certificate"
		}
		line("host_key", "%s %s %s%s", k.file, k.key.Key().Type(), k.key.Key().Fingerprint(), with)
	}
	return errs
}
