//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	user   string  // who logs in over the network
	undo   func()  // takes that account away
	ssh    *sshd   // nil without OpenSSH
	remote *remote // nil without OpenSSH, whose keys it has
	far    *far    // nil without OpenSSH, root or ip(8)
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
	if err := e.startNetwork(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// startNetwork starts what needs OpenSSH, for its keys or to compare with, and
// says what of it the machine does not have.
func (e *environment) startNetwork() (err error) {
	for _, name := range []string{sshdPath, "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(name); err != nil {
			fmt.Fprintln(os.Stderr, "bench: warning: without OpenSSH:", err)
			return nil
		}
	}
	if err := e.makeUser(); err != nil {
		return err
	}
	if err := e.makeKeys(); err != nil {
		return err
	}
	if e.ssh, err = e.startSSHD(loopback); err != nil {
		return err
	}
	if e.remote, err = e.startRemote(loopback); err != nil {
		return err
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: warning: without distance, which needs Linux and root")
		return nil
	}
	e.far, err = e.startFar(50 * time.Millisecond)
	return err
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
	if e.far != nil {
		e.far.close()
	}
	if e.ssh != nil {
		e.ssh.close()
	}
	if e.remote != nil {
		e.remote.close()
	}
	if e.undo != nil {
		e.undo()
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
