//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
)

// A remote is a rexd on loopback TCP with the keys of the sshd beside it.
type remote struct {
	cmd  *exec.Cmd
	args []string // of rex, up to the host
}

// startRemote starts it, and has the client know its key.
func (e *environment) startRemote() error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	config := filepath.Join(e.dir, "network.toml")
	text := "permit_root = \"yes\"\nstrict_modes = false\nsshd_policy_acknowledged = true\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(e.path("rexd"), "--config", config, "--listen", "127.0.0.1:0", "--host-key", e.path("host"),
		"--authorized-keys", e.path("authorized_keys"), "--allow-user", me.Username)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		m := regexp.MustCompile(`"listening","addr":"([^"]+)"`).FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		go func() { // ends with the daemon
			for lines.Scan() {
			}
		}()
		e.remote = &remote{cmd: cmd, args: []string{
			e.path("rex"), "-i", e.path("user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new",
			"-o", "UserKnownHostsFile=" + e.path("rex-known"), "-q", me.Username + "@" + m[1],
		}}
		return exec.CommandContext(e.ctx, e.remote.args[0], e.remote.command("true")[1:]...).Run()
	}
	return errors.Join(errors.New("rexd ended"), cmd.Wait())
}

// line is a command there as a line of sh.
func (r *remote) line(command string) string {
	return fmt.Sprintf("%s '%s'", strings.Join(r.args, " "), command)
}

// command is a command there as arguments.
func (r *remote) command(words ...string) []string {
	return append(append([]string{}, r.args...), words...)
}

func (r *remote) close() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}
