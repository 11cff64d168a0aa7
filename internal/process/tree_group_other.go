//go:build unix && !linux

package process

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
)

func openCgroups(*slog.Logger, *oomShield) (backend, string, error) {
	return nil, "", errors.New("cgroups are Linux's alone")
}

func openKeepers(Options, *oomShield) (backend, error) {
	return nil, errors.New("keepers need Linux")
}

// KeeperMain is the body of the hidden subcommand that runs a keeper; there
// are none on this system.
func KeeperMain() int {
	_, _ = os.Stderr.WriteString("rexd: error: keepers need Linux\n")
	return 1
}

// groupTree is the command's process group. When the command was reaped the
// group's id may belong to others, so what is left of the group is out of reach.
type groupTree struct{ child *child }

func newGroupTree(c *child) tree { return groupTree{c} }

func (t groupTree) signal(sigs ...syscall.Signal) error {
	if err := t.child.signal(true, sigs...); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (t groupTree) kill() error { return t.signal(syscall.SIGKILL) }

func (t groupTree) awaitEmpty(ctx context.Context) error {
	select {
	case <-t.child.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t groupTree) release() error { return nil }
