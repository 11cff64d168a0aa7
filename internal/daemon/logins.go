//go:build linux || darwin || freebsd

package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rexec/rex/internal/auth/authorize"
)

// loginSettings say who may log in over TCP, and who this host is.
type loginSettings struct {
	hostKeys       []string // files; empty chooses
	authorizedKeys []string // as sshd names them; empty are sshd's, or the usual ones

	allowUsers, allowGroups, denyUsers, denyGroups []string

	permitRoot         authorize.RootLogin
	trustedCA, revoked string // files; empty are sshd's
	laxModes           bool
	userEnvironment    bool
	sshdAcknowledged   bool
}

// setters are the keys of the file that are about logins.
func (s *loginSettings) setters(f *file) []setter {
	return []setter{
		{key: "host_keys", set: func() error { return setList(&s.hostKeys, f.HostKeys, checkFile) }},
		{key: "authorized_keys", set: func() error { return s.setAuthorizedKeys(f.AuthorizedKeys) }},
		{key: "allow_users", set: func() error { return setList(&s.allowUsers, f.AllowUsers, authorize.CheckName) }},
		{key: "allow_groups", set: func() error { return setList(&s.allowGroups, f.AllowGroups, authorize.CheckName) }},
		{key: "deny_users", set: func() error { return setList(&s.denyUsers, f.DenyUsers, authorize.CheckName) }},
		{key: "deny_groups", set: func() error { return setList(&s.denyGroups, f.DenyGroups, authorize.CheckName) }},
		{key: "permit_root", set: func() error { return s.setPermitRoot(f.PermitRoot) }},
		{key: "trusted_user_ca_keys", set: func() error { return setFile(&s.trustedCA, f.TrustedUserCAKeys) }},
		{key: "revoked_keys", set: func() error { return setFile(&s.revoked, f.RevokedKeys) }},
		{key: "strict_modes", set: func() error { s.laxModes = f.StrictModes != nil && !*f.StrictModes; return nil }},
		{key: "permit_user_environment", set: func() error { return setBool(&s.userEnvironment, f.PermitUserEnvironment) }},
		{key: "sshd_policy_acknowledged", set: func() error { return setBool(&s.sshdAcknowledged, f.SSHDPolicyAcknowledged) }},
	}
}

// override puts the flags on top. A list replaces one of the file.
func (s *loginSettings) override(f *flags) error {
	for _, o := range []struct {
		flag  string
		dst   *[]string
		value []string
		check func(string) error
	}{
		{"--host-key", &s.hostKeys, f.hostKeys, checkFile},
		{"--authorized-keys", &s.authorizedKeys, f.authorizedKeys, authorize.CheckPath},
		{"--allow-user", &s.allowUsers, f.allowUsers, authorize.CheckName},
		{"--allow-group", &s.allowGroups, f.allowGroups, authorize.CheckName},
	} {
		if len(o.value) == 0 {
			continue
		}
		if err := setList(o.dst, o.value, o.check); err != nil {
			return usageErrorf("", "%s: %w", o.flag, err)
		}
	}
	return nil
}

func setList(dst *[]string, values []string, check func(string) error) error {
	for i, v := range values {
		if err := check(v); err != nil {
			return err
		}
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%q is named twice", v)
		}
	}
	if len(values) > 0 {
		*dst = values
	}
	return nil
}

func setFile(dst, value *string) error {
	if value == nil {
		return nil
	}
	*dst = *value
	return checkFile(*value)
}

func setBool(dst, value *bool) error {
	if value != nil {
		*dst = *value
	}
	return nil
}

// checkFile wants a path that means the same wherever rexd is started.
func checkFile(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	return nil
}

func (s *loginSettings) setAuthorizedKeys(paths []string) error {
	if len(paths) > 1 && slices.Contains(paths, "none") {
		return fmt.Errorf("%q is no file, and not together with others", "none")
	}
	return setList(&s.authorizedKeys, paths, authorize.CheckPath)
}

func (s *loginSettings) setPermitRoot(v *string) error {
	if v == nil {
		return nil
	}
	s.permitRoot = authorize.RootLogin(*v)
	if !slices.Contains([]authorize.RootLogin{authorize.RootNo, authorize.RootForcedOnly, authorize.RootYes}, s.permitRoot) {
		return fmt.Errorf("%q is not yes, no or %s", *v, authorize.RootForcedOnly)
	}
	return nil
}

// policy is the configuration of who may log in, when this process is uid.
func (s *loginSettings) policy(uid int, system authorize.System) authorize.Config {
	return authorize.Config{
		AllowUsers: s.allowUsers, AllowGroups: s.allowGroups, DenyUsers: s.denyUsers, DenyGroups: s.denyGroups,
		PermitRoot: s.permitRoot, UID: uid,
		AuthorizedKeys: s.authorizedKeys, TrustedUserCAKeys: s.trustedCA, RevokedKeys: s.revoked,
		LaxModes: s.laxModes, PermitUserEnvironment: s.userEnvironment,
		System: system,
	}
}
