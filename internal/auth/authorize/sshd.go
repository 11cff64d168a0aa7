//go:build unix

package authorize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// SSHD is what is known of an sshd on this machine and of what it is told.
type SSHD struct {
	// Program is the path of sshd; empty if there is none.
	Program string
	// Binding are the settings that keep logins out or bind them, and that
	// rexd does not know: each as file:line and the line, or as "sshd -T" and
	// the setting. They are printable.
	Binding []string
	// UsePAM says that PAM has a say in sshd's logins.
	UsePAM bool
	// Paths of files, empty if there are none.
	RevokedKeys, TrustedUserCAKeys string
	// AuthorizedKeys is AuthorizedKeysFile; nil if it is not known.
	AuthorizedKeys []string
	// Warning is why not all could be found out; nil if it could.
	Warning error
}

// JudgeLocked reports whether an account with a locked password is to be kept
// out: sshd does so without PAM, and where there is no sshd nobody else says
// that such accounts are good for keys.
func (s *SSHD) JudgeLocked() bool { return s.Program == "" || !s.UsePAM }

// sshdTime bounds sshd -T.
const sshdTime = 10 * time.Second

// CheckSSHD looks for sshd and what it is told: with sshd -T, and in its files
// through every Include. Without an sshd the result is empty. An error says that
// there is one and that nothing could be found out.
func CheckSSHD(ctx context.Context) (*SSHD, error) {
	return checkSSHD(ctx, "/", runSSHD)
}

// checkSSHD looks below root, which is "/" but for tests.
func checkSSHD(ctx context.Context, root string, run func(context.Context, string) ([]byte, error)) (*SSHD, error) {
	s := &SSHD{}
	config := ""
	for _, place := range []struct{ program, config string }{
		{"usr/sbin/sshd", "etc/ssh/sshd_config"},
		{"usr/local/sbin/sshd", "usr/local/etc/ssh/sshd_config"},
		{"usr/local/sbin/sshd", "usr/local/etc/sshd_config"},
		{"usr/local/sbin/sshd", "etc/ssh/sshd_config"},
	} {
		if !isProgram(root+place.program) || s.Program != "" && config != "" {
			continue
		}
		s.Program = root + place.program
		if _, err := os.Lstat(root + place.config); !errors.Is(err, fs.ErrNotExist) {
			config = root + place.config
		}
	}
	if s.Program == "" {
		return s, nil
	}
	sc := &scanner{}
	if config != "" {
		sc.file(config, 0)
	}
	out, err := run(ctx, s.Program)
	if err != nil && (config == "" || sc.err != nil) {
		return s, errors.Join(err, sc.err)
	}
	s.Warning = errors.Join(err, sc.err)
	s.combine(sc, parseEffective(out))
	return s, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// runSSHD returns what sshd -T prints.
func runSSHD(ctx context.Context, program string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sshdTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "-T")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		last := lastLine(stderr.String())
		return nil, fmt.Errorf("%s -T: %w: %s", program, err, last)
	}
	return stdout.Bytes(), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return fmt.Sprintf("%.200q", s[strings.LastIndexByte(s, '\n')+1:])
}

// parseEffective reads the output of sshd -T: keyword and values. It is nil
// without output. Of a keyword that comes several times all values are kept.
func parseEffective(out []byte) map[string][]string {
	var values map[string][]string
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			continue
		}
		if values == nil {
			values = map[string][]string{}
		}
		values[strings.ToLower(name)] = append(values[strings.ToLower(name)], value)
	}
	return values
}

// combine takes what the files say, and of sshd -T what no file says: built-in
// defaults of a distribution.
func (s *SSHD) combine(sc *scanner, effective map[string][]string) {
	get := func(name string) []string {
		if effective != nil {
			return effective[name]
		}
		return sc.first[name]
	}
	one := func(name string) string {
		if v := get(name); len(v) > 0 && !strings.EqualFold(v[0], "none") {
			return v[0]
		}
		return ""
	}
	s.UsePAM = strings.EqualFold(one("usepam"), "yes")
	s.RevokedKeys = one("revokedkeys")
	s.AuthorizedKeys = strings.Fields(strings.Join(get("authorizedkeysfile"), " "))
	trusted := one("trustedusercakeys")
	for _, l := range sc.lines {
		if binds(l.keyword, l.value) && (trusted != "" || !strings.HasPrefix(l.keyword, "authorizedprincipals")) {
			s.Binding = append(s.Binding, l.String())
		}
	}
	for _, name := range bindingKeywords() {
		known := slices.ContainsFunc(sc.lines, func(l configLine) bool { return l.keyword == name })
		for _, value := range effective[name] {
			if !known && binds(name, value) && (trusted != "" || !strings.HasPrefix(name, "authorizedprincipals")) {
				s.Binding = append(s.Binding, fmt.Sprintf("%s -T: %s %.100q", s.Program, name, value))
			}
		}
	}
	// Which principals these let in is not known here.
	if one("authorizedprincipalsfile") == "" && one("authorizedprincipalscommand") == "" {
		s.TrustedUserCAKeys = trusted
	}
}

// bindingKeywords are in lower case.
func bindingKeywords() []string {
	return []string{
		"allowusers", "denyusers", "allowgroups", "denygroups", "forcecommand", "chrootdirectory",
		"authenticationmethods", "match", "pubkeyauthentication", "pubkeyauthoptions",
		"authorizedprincipalsfile", "authorizedprincipalscommand", "permittty",
	}
}

// binds reports whether a setting keeps logins out or binds them.
func binds(keyword, value string) bool {
	value = strings.ToLower(value)
	switch keyword {
	case "authenticationmethods":
		return value != "any"
	case "pubkeyauthentication", "permittty":
		return value != "yes"
	}
	return value != "none" && slices.Contains(bindingKeywords(), keyword)
}
