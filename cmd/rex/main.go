// Command rex runs commands on other machines through rexd, used like ssh.
package main

import (
	"os"

	"github.com/rexec/rex/internal/cli"
	"github.com/rexec/rex/internal/testnet"
)

func main() {
	env := cli.OSEnv()
	env.Dial = testnet.Dialer(env.Getenv)
	os.Exit(cli.Main(env))
}
