//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rexec/rex/session"
)

// environment is what the rows measure: built programs, a daemon on a Unix
// socket with one live session, and an sshd if there is one.
type environment struct {
	ctx    context.Context
	dir    string
	addr   string
	daemon *exec.Cmd
	usage  chan string // lines of the daemon's log that say what it holds
	client *session.Client
	ssh    *sshd   // nil without OpenSSH
	remote *remote // nil without OpenSSH, whose keys it has
}

func newEnvironment(ctx context.Context, dir string) (*environment, error) {
	if err := build(ctx, dir); err != nil {
		return nil, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp(home, ".rex-bench-")
	if err != nil {
		return nil, err
	}
	e := &environment{ctx: ctx, dir: dir, addr: "unix:" + filepath.Join(sockets, "s"), usage: make(chan string, 1)}
	if err := e.startDaemon(sockets); err != nil {
		_ = os.RemoveAll(sockets)
		return nil, err
	}
	if e.client, err = session.Dial(ctx, e.addr, nil); err != nil {
		e.close()
		return nil, err
	}
	if e.ssh, err = startSSHD(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench: warning: without OpenSSH:", err)
		return e, nil
	}
	if err := e.startRemote(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *environment) path(program string) string { return filepath.Join(e.dir, program) }

// startDaemon starts rexd and waits until it listens.
func (e *environment) startDaemon(dir string) error {
	config := filepath.Join(dir, "rexd.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return err
	}
	e.daemon = exec.Command(e.path("rexd"), "--config", config, "--listen", e.addr)
	stderr, err := e.daemon.StderrPipe()
	if err != nil {
		return err
	}
	if err := e.daemon.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening") {
			go e.readLog(lines) // ends with the daemon
			return nil
		}
	}
	return errors.Join(errors.New("rexd ended"), e.daemon.Wait())
}

func (e *environment) close() {
	if e.client != nil {
		_ = e.client.Close()
	}
	_ = e.daemon.Process.Signal(os.Interrupt)
	_ = e.daemon.Wait()
	_ = os.RemoveAll(filepath.Dir(strings.TrimPrefix(e.addr, "unix:")))
	if e.ssh != nil {
		e.ssh.close()
	}
	if e.remote != nil {
		e.remote.close()
	}
}

// readLog reads the log to its end, so that the pipe does not fill up.
func (e *environment) readLog(lines *bufio.Scanner) {
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"heap_inuse":`) {
			e.usage <- lines.Text()
		}
	}
}

// heldKiB is the memory of the daemon's heap and stacks after a collection.
func (e *environment) heldKiB() (float64, error) {
	if err := e.daemon.Process.Signal(syscall.SIGUSR1); err != nil {
		return 0, err
	}
	select {
	case line := <-e.usage:
		var held struct {
			Heap  float64 `json:"heap_inuse"`
			Stack float64 `json:"stack_inuse"`
		}
		err := json.Unmarshal([]byte(line), &held)
		return (held.Heap + held.Stack) / 1024, err
	case <-time.After(10 * time.Second):
		return 0, errors.New("the daemon does not say what it holds")
	}
}

// sshd is an OpenSSH server of this run.
type sshd struct {
	cmd  *exec.Cmd
	args []string // of ssh, up to the host
	ctl  string
}

// startSSHD starts sshd on a loopback port, with keys of its own.
func startSSHD(ctx context.Context, dir string) (*sshd, error) {
	server, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"host", "user"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(filepath.Join(dir, "user.pub"))
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"authorized_keys": string(public),
		"sshd_config": fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized_keys\n"+
			"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 1000\n", port, dir, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	_ = os.MkdirAll("/run/sshd", 0o755) // sshd wants it when it is root
	s := &sshd{cmd: exec.Command(server, "-D", "-f", filepath.Join(dir, "sshd_config")), ctl: filepath.Join(dir, "ctl")}
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.args = []string{
		"ssh", "-F", "none", "-p", port, "-i", filepath.Join(dir, "user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known"), "-o", "LogLevel=ERROR",
	}
	if err := s.connect(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return s, nil
}

// connect waits until the server answers, and starts the shared connection.
func (s *sshd) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	master := append(append([]string{}, s.args[1:]...), "-M", "-S", s.ctl, "-f", "-N", "127.0.0.1")
	for {
		err := exec.CommandContext(ctx, s.args[0], master...).Run()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *sshd) command(words ...string) []string {
	return append(append(append([]string{}, s.args...), "127.0.0.1"), words...)
}

func (s *sshd) shared(words ...string) []string {
	return append(append(append([]string{}, s.args...), "-S", s.ctl, "127.0.0.1"), words...)
}

// line is the command as a line of sh.
func (s *sshd) line(remote string, flags ...string) string {
	return strings.Join(append(append(append([]string{}, s.args...), flags...), "127.0.0.1", "'"+remote+"'"), " ")
}

func (s *sshd) close() {
	exit := append(append([]string{}, s.args[1:]...), "-S", s.ctl, "-O", "exit", "127.0.0.1")
	_ = exec.Command(s.args[0], exit...).Run()
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
