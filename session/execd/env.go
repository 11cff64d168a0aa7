//go:build unix

package execd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/rexec/rex/session"
)

// refusedNames are variables that a client may not set, because they change
// what code runs rather than what it does. Names ending in * are prefixes,
// names beginning with * suffixes.
var refusedNames = []string{
	"LD_*", "DYLD_*", "BASH_ENV", "BASH_FUNC_*", "ENV", "SHELLOPTS", "BASHOPTS", "IFS", "PS4", "PATH", "HOME",
	"*_OPTIONS", "SSH_*", "REX_*", "GCONV_PATH", "LOCPATH",
}

// acceptable reports whether a client may set the variable.
func acceptable(name, value string) bool {
	if !validName(name) || strings.HasPrefix(value, "()") {
		return false
	}
	return !slices.ContainsFunc(refusedNames, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			return strings.HasSuffix(name, suffix)
		}
		return name == pattern
	})
}

// validName reports whether name is [A-Za-z_][A-Za-z0-9_]*.
func validName(name string) bool {
	for i, c := range []byte(name) {
		digit := '0' <= c && c <= '9'
		if c != '_' && !isAlphanumeric(c) || digit && i == 0 {
			return false
		}
	}
	return name != ""
}

// acceptableForced reports whether a client may set the variable for a forced
// command, whose author expects nothing of the client in its environment.
func acceptableForced(name, value string) bool {
	listed := slices.Contains([]string{"LANG", "TERM", "COLORTERM", "NO_COLOR"}, name)
	return (listed || strings.HasPrefix(name, "LC_") && validName(name)) && isPlainValue(value)
}

// isPlainValue reports whether value is [A-Za-z0-9_.@:-]*.
func isPlainValue(value string) bool {
	for _, c := range []byte(value) {
		if !isAlphanumeric(c) && strings.IndexByte("_.@:-", c) < 0 {
			return false
		}
	}
	return true
}

// environ is an environment in which no name comes twice.
type environ struct {
	list []string
	at   map[string]int
}

// put sets a variable, in its old place if it has one.
func (e *environ) put(kv string) {
	name, _, _ := strings.Cut(kv, "=")
	if i, ok := e.at[name]; ok {
		e.list[i] = kv
		return
	}
	if e.at == nil {
		e.at = make(map[string]int)
	}
	e.at[name] = len(e.list)
	e.list = append(e.list, kv)
}

// environment is that of the command, built from nothing, and the names that
// the client asked for in vain.
func (l *Login) environment(req *session.Request, tz string) (env, dropped []string) {
	asked, accept := req.Env, acceptable
	if t := req.Term; t != nil && t.Name != "" {
		asked = append([]string{"TERM=" + t.Name}, asked...)
	}
	if l.Command != nil {
		accept = acceptableForced
	}
	var base environ
	for _, kv := range append(slices.Clone(l.Environment), l.variables(tz)...) {
		base.put(kv)
	}
	env, dropped = merge(base.list, asked, accept)
	if line, ok := original(req); ok && l.Command != nil {
		env = append(env, "SSH_ORIGINAL_COMMAND="+line)
	}
	return env, dropped
}

// variables are those of a login of that account, as sshd(8) without PAM sets
// them. SSH_TTY comes when the terminal has a name.
func (l *Login) variables(tz string) []string {
	env := l.account(tz)
	if c := connection(l.Remote, l.Local); c != "" {
		field := strings.Fields(c)
		env = append(env, fmt.Sprintf("SSH_CLIENT=%s %s %s", field[0], field[1], field[3]),
			"SSH_CONNECTION="+c, "REX_CONNECTION="+c)
	}
	return env
}

// account is what of it depends on the account and not on the connection.
func (l *Login) account(tz string) []string {
	path := "/usr/local/bin:/usr/bin:/bin:/usr/games"
	if l.UID == 0 {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := []string{
		"USER=" + l.User, "LOGNAME=" + l.User, "HOME=" + l.Home,
		"SHELL=" + l.Shell, "PATH=" + path, "MAIL=/var/mail/" + l.User,
	}
	if tz != "" {
		env = append(env, "TZ="+tz)
	}
	return env
}

// connection is the value of SSH_CONNECTION, empty if the ends are not known.
func connection(remote, local netip.AddrPort) string {
	if !local.IsValid() || !remote.IsValid() {
		return ""
	}
	return fmt.Sprintf("%s %d %s %d", remote.Addr().Unmap(), remote.Port(), local.Addr().Unmap(), local.Port())
}

// merge adds what the client asks for to the login environment. Of a name that
// comes twice the last wins, as in os/exec. It returns the names that were
// dropped.
func merge(base, asked []string, accept func(name, value string) bool) (env, dropped []string) {
	var e environ
	for _, kv := range base {
		e.put(kv)
	}
	for _, kv := range asked {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case accept(name, value):
			e.put(kv)
		case !slices.Contains(dropped, name):
			dropped = append(dropped, name)
		}
	}
	return e.list, dropped
}
