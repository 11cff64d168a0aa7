//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// Another user than root starts as itself only.
func TestCredentialNeedsRoot(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs another user than root")
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		spec := command("/usr/bin/id")
		spec.Credential = &Credential{UID: uint32(os.Getuid()) + 1, GID: 1}
		wantStartError(t, s, spec, CodeStartFailed, os.ErrPermission, "act as user")
	})
}

func TestExplainBlindly(t *testing.T) {
	for errno, code := range map[syscall.Errno]string{
		syscall.E2BIG: CodeTooBig, syscall.ENOEXEC: CodeNotExecutable, syscall.ENOENT: CodeNotFound,
		syscall.EACCES: CodePermissionDenied, syscall.EAGAIN: CodeStartFailed,
	} {
		e, ok := errors.AsType[*StartError](explainBlindly(errno, "x"))
		if !ok || e.Code != code || !errors.Is(e, errno) {
			t.Errorf("%v: %+v, want %s", errno, e, code)
		}
	}
}
