//go:build unix

package account

import (
	"context"
	"errors"
	"os"
	"time"
)

// Policy is what of an account's state is a matter of this machine's habits.
type Policy struct {
	// JudgeLocked refuses an account whose password is locked, by a '!' before
	// it. It is for machines where sshd does so, or without one: where sshd
	// leaves that to PAM, accounts that log in by key alone often have it.
	JudgeLocked bool
}

// Admissible returns nil if the account may log in at that time, and an
// [InadmissibleError] if not: what cannot be found out is not admissible. It
// looks at what sshd(8) without PAM looks at: the shell, nologin(5) but for
// root, and the date of expiry and the lock in shadow(5), or master.passwd(5) on
// FreeBSD; Darwin has neither. The age of the
// password is not judged, since no password is used.
//
// These files are root's: a process of another user, which can serve no
// account but its own, does not judge them.
func (a *Account) Admissible(ctx context.Context, now time.Time, policy Policy) error {
	if err := checkShell(a.Shell); err != nil {
		return err
	}
	if err := a.checkNologin("/etc/nologin", "/run/nologin", "/var/run/nologin"); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	entry, err := system().password(ctx, a.Name)
	if err != nil {
		return inadmissible(ReasonUnknown, "the password entry of %q: %w", a.Name, err)
	}
	return entry.check(now, policy)
}

// checkShell tests as sshd does: a regular file that somebody may execute.
func checkShell(shell string) error {
	info, err := os.Stat(shell)
	switch {
	case err != nil:
		return inadmissible(ReasonNoShell, "login shell: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return inadmissible(ReasonNoShell, "login shell %q is not executable", shell)
	}
	return nil
}

// checkNologin refuses all but root while one of the files is there, or cannot
// be looked for.
func (a *Account) checkNologin(files ...string) error {
	if a.UID == 0 {
		return nil
	}
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil {
			return inadmissible(ReasonNologin, "%s is there", file)
		} else if !errors.Is(err, os.ErrNotExist) {
			return inadmissible(ReasonUnknown, "nologin: %w", err)
		}
	}
	return nil
}
