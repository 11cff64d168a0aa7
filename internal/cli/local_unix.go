//go:build linux || darwin || freebsd

package cli

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/rexec/rex/internal/daemon"
)

// daemonWord, as the very first argument, makes this program the daemon, so
// that local: needs nothing but rex.
const daemonWord = "--rexd"

// self is a path of this program, good even if its file was replaced.
func self() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// localCommand is this program as a daemon for one session, in a session of
// its own: the terminal's signals are rex's to judge.
func localCommand() (*exec.Cmd, error) {
	path, err := self()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, daemonWord, "--stdio")
	cmd.Args[0] = "rex"
	detach(cmd)
	return cmd, nil
}

// runDaemon is the program after daemonWord.
func runDaemon(env Env) int {
	path, err := self()
	if err != nil {
		return statusOwn
	}
	return daemon.Main(daemon.Env{
		Args: env.Args[2:], Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		Getenv: env.Getenv, Self: []string{path, daemonWord},
	})
}

// detach gives a program a session of its own, without a terminal.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
