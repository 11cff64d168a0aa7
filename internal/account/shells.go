//go:build unix

package account

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// ListedShell reports whether the shell is in /etc/shells, as shells(5) and
// getusershell(3) have it; where that file is missing, whether it is /bin/sh or
// /bin/csh.
func ListedShell(shell string) bool { return listedIn(system().path("shells"), shell) }

func listedIn(file, shell string) bool {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return shell == "/bin/sh" || shell == "/bin/csh"
	}
	if err != nil {
		return false
	}
	defer f.Close()
	listed, err := findShell(f, shell)
	return listed && err == nil
}

// findShell reads lines as getusershell does: a shell is what begins with the
// first slash and ends before a blank or a comment.
func findShell(r io.Reader, shell string) (found bool, err error) {
	err = eachLine(r, func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		if at := strings.IndexByte(line, '/'); at >= 0 {
			found = strings.FieldsFunc(line[at:], isBlank)[0] == shell
		}
		return !found
	})
	return found, err
}

func isBlank(r rune) bool { return strings.ContainsRune(" \t\v\f\r", r) }

// restricted are shells whose point is that they do not run everything. Some
// systems list the first ones as login shells.
var restricted = []string{
	"rbash", "rksh", "rzsh", "rdash", "git-shell", "rssh", "scponly", "scponlyc", "lshell", "rush", "nologin", "false", "true",
}

// UnrestrictedShell reports whether whoever has this login shell may run any
// program with it: it is listed and not known as a restricted one. Programs may
// be run for other accounts only through their shell.
func UnrestrictedShell(shell string) bool {
	return ListedShell(shell) && !slices.Contains(restricted, path.Base(shell))
}
