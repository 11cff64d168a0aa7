//go:build unix

package execd

import (
	"slices"
	"strings"
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
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// loginEnv is the environment of a login of that account.
func (a *account) loginEnv(tz string) []string {
	path := "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
	if a.uid == 0 {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := []string{
		"USER=" + a.name, "LOGNAME=" + a.name, "HOME=" + a.home,
		"SHELL=" + a.shell, "PATH=" + path,
	}
	if tz != "" {
		env = append(env, "TZ="+tz)
	}
	return env
}

// merge adds what the client asks for to the login environment. Of a name that
// comes twice the last wins, as in os/exec. It returns the names that were
// dropped.
func merge(base, asked []string) (env, dropped []string) {
	at := make(map[string]int, len(base)+len(asked))
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		at[name] = len(env)
		env = append(env, kv)
	}
	for _, kv := range asked {
		name, value, _ := strings.Cut(kv, "=")
		if !acceptable(name, value) {
			if !slices.Contains(dropped, name) {
				dropped = append(dropped, name)
			}
			continue
		}
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env, dropped
}
