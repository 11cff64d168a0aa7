//go:build unix

package authorize

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// RootLogin says whether the user with the id 0 may log in.
type RootLogin string

// The ways in which root may log in.
const (
	RootNo         RootLogin = "no"
	RootForcedOnly RootLogin = "forced-commands-only" // with a key or certificate that has a forced command
	RootYes        RootLogin = "yes"
)

// Config is what the administrator decided. [New] keeps a copy.
type Config struct {
	// Names, byte for byte and without patterns. Who is denied is not allowed.
	// If there are both users and groups that are allowed, a user must be among
	// the ones and in one of the others, as with sshd.
	AllowUsers, AllowGroups, DenyUsers, DenyGroups []string
	// PermitRoot is RootNo if it is empty.
	PermitRoot RootLogin
	// UID is the user that this process runs as. If it is not 0, only that
	// user may log in.
	UID int
	// AuthorizedKeys are the paths of files as sshd's AuthorizedKeysFile names
	// them: absolute or relative to the user's home, with %u, %h and %%; "none"
	// alone is no file. Empty is [DefaultAuthorizedKeys].
	AuthorizedKeys []string
	// TrustedUserCAKeys is the absolute path of a file with the keys that sign
	// user certificates, one on a line; empty is none.
	TrustedUserCAKeys string
	// RevokedKeys is the absolute path of a list of revoked keys; empty is none.
	// If it cannot be read, nobody can log in.
	RevokedKeys string
	// LaxModes lets others than the user and root write authorized_keys files,
	// and exchange them.
	LaxModes bool
	// PermitUserEnvironment honours environment= in authorized_keys files.
	PermitUserEnvironment bool
	// ServiceKeys are the services that logins with some keys are bound to, by the
	// fingerprints of the keys. A certificate counts as its own key and as the key
	// of its authority. A line or certificate that forces another command keeps
	// such a login out.
	ServiceKeys map[string]string
	// System is the machine. It is required.
	System System
}

// DefaultAuthorizedKeys are the files that sshd reads by default.
func DefaultAuthorizedKeys() []string {
	return []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}
}

// CheckPath says whether path can be among Config.AuthorizedKeys.
func CheckPath(path string) error {
	_, err := expand(path, "user", "/home")
	return err
}

// expand makes an absolute path of one with %u, %h and %%.
func expand(path, user, home string) (string, error) {
	var b strings.Builder
	for rest := path; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "%"):
			b.WriteByte('%')
		case strings.HasPrefix(after, "u"):
			b.WriteString(user)
		case strings.HasPrefix(after, "h"):
			b.WriteString(home)
		default:
			return "", fmt.Errorf("%q has a %% that is not %%u, %%h or %%%%", path)
		}
		rest = after[1:]
	}
	name := b.String()
	switch {
	case path == "" || strings.ContainsRune(name, 0):
		return "", fmt.Errorf("%q is not the path of a file", path)
	case !filepath.IsAbs(name):
		name = filepath.Join(home, name)
	}
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("the home directory %q is not absolute", home)
	}
	return filepath.Clean(name), nil
}

// CheckName says whether name can be that of a user or group in the lists of a
// [Config].
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("an empty name")
	case strings.ContainsAny(name, "*?!"):
		return fmt.Errorf("%q is a pattern, and these lists take names only", name)
	case strings.ContainsRune(name, '@'):
		return fmt.Errorf("%q: hosts are not looked at; from= in an authorized_keys file is for that", name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' || r == ',' || r == '/'
	}):
		return fmt.Errorf("%q is not a name", name)
	}
	return nil
}

// check says what is wrong with the configuration.
func (c *Config) check() error {
	for _, name := range slices.Concat(c.AllowUsers, c.AllowGroups, c.DenyUsers, c.DenyGroups) {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	for _, path := range c.AuthorizedKeys {
		if err := CheckPath(path); err != nil {
			return err
		}
	}
	for _, path := range []string{c.RevokedKeys, c.TrustedUserCAKeys} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%q is not an absolute path", path)
		}
	}
	switch {
	case c.System == nil:
		return errors.New("authorize: no system")
	case !slices.Contains([]RootLogin{"", RootNo, RootForcedOnly, RootYes}, c.PermitRoot):
		return fmt.Errorf("%q is not yes, no or %s", c.PermitRoot, RootForcedOnly)
	}
	return nil
}

// checkGroups demands that the groups exist: a list with a misspelt name is
// either too generous or of no use.
func (c *Config) checkGroups() error {
	for _, name := range slices.Concat(c.AllowGroups, c.DenyGroups) {
		if _, ok := c.System.GroupID(name); !ok {
			return fmt.Errorf("there is no group %q", name)
		}
	}
	return nil
}

// ownUser reports whether there is only one user.
func (c *Config) ownUser() bool { return c.UID != 0 }

// decoyUID is the user that files are looked for as when nobody else is known.
func (c *Config) decoyUID() int {
	if c.ownUser() {
		return c.UID
	}
	return 65534 // nobody, which needs no account
}
