//go:build !linux && !darwin && !freebsd

package cli

import (
	"errors"
	"os/exec"
)

const daemonWord = "--rexd"

func localCommand() (*exec.Cmd, error) { return nil, errors.ErrUnsupported }

func runDaemon(env Env) int {
	newUI(env.Stderr).fail(fail(howUsage, "the daemon does not run on this system"))
	return statusOwn
}

func detach(*exec.Cmd) {}
