//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// A remote is a rexd on loopback TCP with the keys of the sshd beside it.
type remote struct {
	cmd  *exec.Cmd
	args []string // of rex, up to the host
}

// startRemote starts rexd at a place, and has the client know its key.
func (e *environment) startRemote(at place) (*remote, error) {
	config := e.path(at.name + "-rexd.toml")
	text := "permit_root = \"yes\"\nstrict_modes = false\nsshd_policy_acknowledged = true\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	argv := append(append([]string{}, at.server...), e.path("rexd"), "--config", config, "--listen", at.address+":0", "--host-key", e.path("host"),
		"--authorized-keys", e.path("authorized_keys"), "--allow-user", e.user)
	cmd := exec.Command(argv[0], argv[1:]...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
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
		r := &remote{cmd: cmd, args: []string{
			e.path("rex"), "-i", e.path("user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new",
			"-o", "UserKnownHostsFile=" + e.path(at.name+"-rex-known"), "-q", e.user + "@" + m[1],
		}}
		first := r.command("true")
		return r, at.inside(exec.CommandContext(e.ctx, first[0], first[1:]...).Run)
	}
	return nil, errors.Join(errors.New("rexd ended"), cmd.Wait())
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
