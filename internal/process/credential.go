//go:build unix

package process

import (
	"errors"
	"slices"
	"syscall"

	"github.com/rexec/rex/internal/process/asuser"
)

// Credential is the user that a command runs as. Only a program that runs as
// root can start as another one.
type Credential struct {
	UID, GID uint32
	// Groups are the supplementary groups. Empty means none, never those of
	// this program.
	Groups []uint32
}

// system returns the credential as the fork takes it; nil for nil. The child
// takes it before anything that depends on rights, and each step that fails
// ends the start: nothing runs with rights it was not given.
func (c *Credential) system() *syscall.Credential {
	if c == nil {
		return nil
	}
	return &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: slices.Clone(c.Groups)}
}

// look calls f with the user's rights to files. Where threads have no rights of
// their own it returns errors.ErrUnsupported and does not.
func (c *Credential) look(f func()) error {
	if c == nil {
		f()
		return nil
	}
	return asuser.Do(asuser.Identity(*c), f)
}

// find settles what depends on files, with the command's rights. Elsewhere than
// on Linux root sees more: then there may be more candidates than the user may
// execute, and the attempt decides.
func (l *launch) find(spec *Spec) error {
	var err error
	search := func() { err = l.search(spec) }
	lookErr := spec.Credential.look(search)
	if errors.Is(lookErr, errors.ErrUnsupported) {
		search()
		lookErr = nil
	}
	if lookErr != nil {
		return startError(CodeStartFailed, lookErr)
	}
	return err
}

// search finds the directory and the candidates for the program. The directory
// is looked at before the fork because one on a dead mount hangs only this
// goroutine here, but every other start there.
func (l *launch) search(spec *Spec) (err error) {
	l.dir = spec.Dir
	if err := checkDir(l.dir); err != nil {
		if !spec.DirOptional {
			return err
		}
		l.dir = "/"
	}
	l.programs, err = findPrograms(spec.Path, l.dir, spec.Env)
	return err
}

// explain says why a start failed, as far as the user may know.
func (l *launch) explain(err error, program string) error {
	out := explainBlindly(err, program)
	if lookErr := l.cred.look(func() { out = explain(err, program, l.dir) }); lookErr != nil {
		return out
	}
	return out
}
