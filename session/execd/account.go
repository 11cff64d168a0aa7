//go:build unix

package execd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// account is what a login needs to know of a user.
type account struct {
	name  string
	uid   int
	home  string
	shell string
}

// getentTimeout bounds a look-up in a directory service.
const getentTimeout = 5 * time.Second

var errNoAccount = errors.New("no account for this user id")

// lookupAccount finds the account of a user id in /etc/passwd, and beyond it
// with getent(1): a static Go program has no other way to directory services.
func lookupAccount(uid int) (*account, error) {
	if f, err := os.Open("/etc/passwd"); err == nil {
		a := findAccount(f, uid)
		_ = f.Close()
		if a != nil {
			return a, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), getentTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", "passwd", strconv.Itoa(uid))
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err == nil {
		if a := findAccount(strings.NewReader(string(out)), uid); a != nil {
			return a, nil
		}
	}
	return nil, errNoAccount
}

// findAccount searches lines in the form of passwd(5).
func findAccount(r io.Reader, uid int) *account {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if a := parseAccount(strings.TrimRight(line, "\r\n")); a != nil && a.uid == uid {
			return a
		}
		if err != nil {
			return nil
		}
	}
}

// parseAccount returns the account of one line, nil if it has none: comments
// and the entries that NIS would fill are passed over.
func parseAccount(line string) *account {
	field := strings.Split(line, ":")
	if len(field) != 7 || field[0] == "" || strings.ContainsRune("#+-", rune(line[0])) {
		return nil
	}
	uid, err := strconv.ParseUint(field[2], 10, 32)
	if err != nil {
		return nil
	}
	a := &account{name: field[0], uid: int(uid), home: field[5], shell: field[6]}
	if a.shell == "" {
		a.shell = "/bin/sh" // passwd(5)
	}
	if a.home == "" {
		a.home = "/"
	}
	return a
}
