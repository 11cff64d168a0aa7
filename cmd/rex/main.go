// Command rex runs commands on other machines through rexd, used like ssh.
package main

import (
	"os"

	"github.com/rexec/rex/internal/cli"
)

func main() { os.Exit(cli.Main(cli.OSEnv())) }
