//go:build linux || darwin || freebsd

// Rexd is the daemon that runs commands for rex. See rexd --help.
package main

import (
	"os"

	"github.com/rexec/rex/internal/daemon"
	"github.com/rexec/rex/internal/testnet"
)

func main() {
	os.Exit(daemon.Main(daemon.Env{
		Args:    os.Args[1:],
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ(),
		Listen:  testnet.Listener(os.Getenv),
		Self:    []string{"/proc/self/exe"},
	}))
}
