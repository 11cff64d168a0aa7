//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"time"
)

const sshdPath = "/usr/sbin/sshd"

// A place is where a server is, and where its clients are.
type place struct {
	name    string // of its files
	address string
	server  []string                 // what stands before the server's own arguments
	inside  func(func() error) error // runs what starts clients
}

var loopback = place{name: "here", address: "127.0.0.1", inside: func(work func() error) error { return work() }}

// makeUser finds who is to log in. Root's own shell may read startup files that
// take longer than what is measured, so root gets another name, with sh.
func (e *environment) makeUser() error {
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err == nil {
			e.user = me.Username
		}
		return err
	}
	name := fmt.Sprintf("rexbench%d", os.Getpid())
	if out, err := exec.Command("useradd", "-o", "-u", "0", "-M", "-d", e.dir, "-s", "/bin/sh", "-p", "*", name).CombinedOutput(); err != nil {
		return fmt.Errorf("useradd: %w: %s", err, out)
	}
	e.user, e.undo = name, func() { _ = exec.Command("userdel", "-f", name).Run() }
	return nil
}

// makeKeys makes a key of the host, one of the user, and who may log in.
func (e *environment) makeKeys() error {
	for _, key := range []string{"host", "user"} {
		if out, err := exec.CommandContext(e.ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", e.path(key)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	public, err := os.ReadFile(e.path("user.pub"))
	if err != nil {
		return err
	}
	return os.WriteFile(e.path("authorized_keys"), public, 0o600)
}

// sshd is an OpenSSH server of this run.
type sshd struct {
	cmd  *exec.Cmd
	args []string // of ssh, with the host
	ctl  string
}

// startSSHD starts sshd at a place.
func (e *environment) startSSHD(at place) (*sshd, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := e.path(at.name + "-sshd_config")
	text := fmt.Sprintf("Port %s\nListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\n"+
		"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 1000\n", port, at.address, e.path("host"), e.path("authorized_keys"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	_ = os.MkdirAll("/run/sshd", 0o755) // sshd wants it when it is root
	argv := append(append([]string{}, at.server...), sshdPath, "-D", "-f", config)
	s := &sshd{cmd: exec.Command(argv[0], argv[1:]...), ctl: e.path(at.name + "-ctl")}
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.args = []string{
		"ssh", "-F", "none", "-p", port, "-i", e.path("user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + e.path(at.name+"-known"), "-o", "LogLevel=ERROR", e.user + "@" + at.address,
	}
	if err := at.inside(func() error { return s.connect(e.ctx) }); err != nil {
		s.close()
		return nil, fmt.Errorf("sshd: %w: %s", err, stderr.String())
	}
	return s, nil
}

// connect waits until the server answers, and starts the shared connection.
func (s *sshd) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	master := s.command("-M", "-S", s.ctl, "-f", "-N")
	for {
		err := exec.CommandContext(ctx, master[0], master[1:]...).Run()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// command is ssh with further words: options, which it also takes after the
// host, and the command.
func (s *sshd) command(words ...string) []string {
	return append(append([]string{}, s.args...), words...)
}

func (s *sshd) shared(words ...string) []string {
	return s.command(append([]string{"-S", s.ctl}, words...)...)
}

// line is the command as a line of sh.
func (s *sshd) line(remote string, flags ...string) string {
	return strings.Join(append(s.command(flags...), "'"+remote+"'"), " ")
}

func (s *sshd) close() {
	exit := s.shared("-O", "exit")
	_ = exec.Command(exit[0], exit[1:]...).Run()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
