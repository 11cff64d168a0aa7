//go:build linux || darwin || freebsd

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rexec/rex/internal/auth/authorize"
)

// doubtTime bounds the search for users who are allowed and cannot log in.
const doubtTime = 5 * time.Second

// rootsFile is the configuration of root's rexd: the one in force, or the place
// for one.
func (s *settings) rootsFile() string { return cmp.Or(s.file, defaultFile(0, nil)) }

func (s *settings) hintSSHD() string {
	return "give rexd the same restrictions, then set sshd_policy_acknowledged = true in " + s.rootsFile()
}

func (s *settings) hintAllow() string {
	return `add --allow-user alice to the command, or allow_users = ["alice"] in ` + s.rootsFile()
}

// A network is who may log in over TCP, with what was found out about it.
type network struct {
	policy *authorize.Policy
	login  loginSettings // with what was taken from sshd
	notes  []note        // for the log
}

// A note is something that the administrator should know.
type note struct {
	level slog.Level
	text  string
	attrs []any
}

func (n *network) note(level slog.Level, text string, attrs ...any) {
	n.notes = append(n.notes, note{level, text, attrs})
}

func (n *network) log(log *slog.Logger) {
	for _, note := range n.notes {
		log.Log(context.Background(), note.level, "about logins", append([]any{"note", note.text}, note.attrs...)...)
	}
}

// newNetwork decides who may log in, from the settings and, as root, from what
// sshd is told.
func newNetwork(ctx context.Context, s *settings) (*network, error) {
	return thisHost().network(ctx, s)
}

func thisHost() *host { return &host{uid: os.Geteuid(), sshd: authorize.CheckSSHD, system: newSystem} }

// A host is the part of this machine that decides about the settings.
type host struct {
	uid    int
	sshd   func(context.Context) (*authorize.SSHD, error)
	system func(judgeLocked bool) authorize.System
}

func newSystem(judgeLocked bool) authorize.System { return authorize.NewMachine(judgeLocked) }

func (h *host) network(ctx context.Context, s *settings) (*network, error) {
	n := &network{login: s.login}
	judgeLocked := false
	if h.uid == 0 {
		if len(n.login.allowUsers)+len(n.login.allowGroups) == 0 {
			return nil, usageErrorf(s.hintAllow(), "rexd runs as root and listens on %s, so it must be told who may log in", s.onNetwork()[0])
		}
		sshd, err := h.sshd(ctx)
		if err := n.heed(s, sshd, err); err != nil {
			return nil, err
		}
		judgeLocked = sshd == nil || sshd.JudgeLocked()
	}
	var err error
	cfg := n.login.policy(h.uid, h.system(judgeLocked))
	cfg.ServiceKeys = s.serviceKeys()
	if n.policy, err = authorize.New(cfg); err != nil {
		return nil, s.explainPolicy(err)
	}
	ctx, cancel := context.WithTimeout(ctx, doubtTime)
	defer cancel()
	for _, doubt := range n.policy.Doubts(ctx) {
		n.note(slog.LevelWarn, "an allowed user cannot log in", "user", doubt.User, "err", doubt.Err)
	}
	return n, nil
}

// explainPolicy says where a file is named that cannot be used.
func (s *settings) explainPolicy(err error) error {
	e, ok := errors.AsType[*authorize.FileError](err)
	if !ok {
		return usageErrorf("", "who may log in: %w", err)
	}
	named := map[string]string{"revoked_keys": s.login.revoked, "trusted_user_ca_keys": s.login.trustedCA}
	if named[e.Key] == "" {
		return usageErrorf(hintFile(e), "%s, taken from sshd: %w", e.Key, e.Err)
	}
	doc, _ := readConfig(s.file) // for the place alone
	return valueError(s.file, doc, place{0, e.Key}, hintFile(e), e.Err)
}

// hintFile says how to mend a file of the administrator. An empty list of what
// is revoked is none.
func hintFile(e *authorize.FileError) string {
	path := shellQuote(e.Path)
	switch {
	case e.Exposed != "" && isFile(e.Exposed):
		path = shellQuote(e.Exposed)
		return "chown " + userName() + " " + path + " && chmod go-w " + path
	case e.Exposed != "":
		return "name a file that only " + userName() + " can change with " + e.Key
	case errors.Is(e, fs.ErrNotExist) && e.Key == "revoked_keys":
		return "restore the list " + path + ", or name another with " + e.Key
	case errors.Is(e, fs.ErrNotExist):
		return "install -m 644 /dev/null " + path + " makes an empty one, or name another with " + e.Key
	}
	return ""
}

// heed takes what sshd is told, and refuses what would not bind rexd.
func (n *network) heed(s *settings, sshd *authorize.SSHD, err error) error {
	acknowledged := n.login.sshdAcknowledged
	switch {
	case err != nil && !acknowledged:
		return usageErrorf(s.hintSSHD(), "cannot find out what restrictions sshd has: %w", err)
	case err != nil:
		n.note(slog.LevelWarn, "cannot find out what restrictions sshd has", "err", err)
	}
	if sshd == nil {
		return nil
	}
	if sshd.Warning != nil {
		n.note(slog.LevelWarn, "not all of sshd's settings are known", "err", sshd.Warning)
	}
	binding := sshd.Binding
	if own := n.login.revoked; own != "" && sshd.RevokedKeys != "" && own != sshd.RevokedKeys {
		binding = append(slices.Clone(binding), fmt.Sprintf("RevokedKeys %q, and revoked_keys is %q", sshd.RevokedKeys, own))
	}
	if len(binding) > 0 && !acknowledged {
		return usageErrorf(s.hintSSHD(), "sshd has restrictions that do not bind rexd:\n  %s", strings.Join(binding, "\n  "))
	}
	for _, line := range binding {
		n.note(slog.LevelWarn, "a restriction of sshd does not bind rexd, as acknowledged", "line", line)
	}
	if sshd.UsePAM {
		n.note(slog.LevelWarn, "sshd uses PAM and rexd does not: limits, access rules and further factors of PAM do not count here")
	}
	n.take("revoked_keys", &n.login.revoked, sshd.RevokedKeys)
	n.take("trusted_user_ca_keys", &n.login.trustedCA, sshd.TrustedUserCAKeys)
	if len(n.login.authorizedKeys) == 0 && len(sshd.AuthorizedKeys) > 0 {
		n.login.authorizedKeys = sshd.AuthorizedKeys
		n.note(slog.LevelInfo, "taken from sshd", "key", "authorized_keys", "files", sshd.AuthorizedKeys)
	}
	return nil
}

// take takes a file from sshd if none is configured.
func (n *network) take(key string, dst *string, file string) {
	if *dst == "" && file != "" {
		*dst = file
		n.note(slog.LevelInfo, "taken from sshd", "key", key, "file", file)
	}
}

// describe says in one line who may log in.
func (s *loginSettings) describe(uid int) string {
	var parts []string
	for _, list := range []struct {
		name   string
		values []string
	}{
		{"allow_users", s.allowUsers}, {"allow_groups", s.allowGroups}, {"deny_users", s.denyUsers}, {"deny_groups", s.denyGroups},
	} {
		if len(list.values) > 0 {
			parts = append(parts, list.name+" "+strings.Join(list.values, " "))
		}
	}
	if uid != 0 {
		parts = append([]string{fmt.Sprintf("%s (uid %d) only", userName(), uid)}, parts...)
	} else {
		parts = append(parts, "permit_root "+string(s.rootLogin()))
	}
	return strings.Join(parts, "; ")
}

func (s *loginSettings) rootLogin() authorize.RootLogin {
	if s.permitRoot == "" {
		return authorize.RootNo
	}
	return s.permitRoot
}
