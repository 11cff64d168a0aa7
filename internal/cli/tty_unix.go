//go:build unix

package cli

// terminalPath is the terminal that this process belongs to.
const terminalPath = "/dev/tty"
