package cli

import (
	"context"
	"net"
	"os"
)

// Env is everything that the program takes from its surroundings.
type Env struct {
	Args   []string // with the program's own name first
	Stdin  *os.File
	Stdout *os.File
	Stderr *os.File
	Getenv func(string) string
	// Dial connects to hosts on the network; nil is TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Environ lists the environment as "key=value", for -o SendEnv.
	Environ func() []string
}

// OSEnv is the surroundings of this process.
func OSEnv() Env {
	return Env{
		Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ,
	}
}
