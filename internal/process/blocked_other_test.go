//go:build unix && !linux

package process

import "os/exec"

func startWithBlockedSignals(cmd *exec.Cmd) error { return cmd.Start() }
