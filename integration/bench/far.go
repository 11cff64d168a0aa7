//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// far is a place that is a round trip away, in a network of its own.
type far struct {
	rtt    time.Duration
	link   *exec.Cmd
	hold   io.Closer // the link lasts until it is closed
	ssh    *sshd
	remote *remote
}

// startFar starts the link and both servers at its far end.
func (e *environment) startFar(rtt time.Duration) (f *far, err error) {
	build := exec.CommandContext(e.ctx, "go", "build", "-o", e.path("longlink"), "github.com/rexec/rex/integration/longlink")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building longlink: %w: %s", err, out)
	}
	near, away := fmt.Sprintf("rexbn%d", os.Getpid()), fmt.Sprintf("rexbf%d", os.Getpid())
	f = &far{rtt: rtt, link: exec.Command(e.path("longlink"), "-rtt", rtt.String(), "-near", near, "-far", away)}
	f.link.Stderr = os.Stderr
	if f.hold, err = f.link.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := f.link.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.link.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		f.close()
		return nil, errors.New("the link did not start")
	}
	in := func(name string) []string { return []string{"nsenter", "--net=/run/netns/" + name} }
	at := place{name: "far", address: "10.91.0.2", server: in(away), client: in(near)}
	f.ssh, err = e.startSSHD(at)
	if err == nil {
		f.remote, err = e.startRemote(at)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *far) close() {
	if f.ssh != nil {
		f.ssh.close()
	}
	if f.remote != nil {
		f.remote.close()
	}
	_ = f.hold.Close()
	_ = f.link.Wait()
}

// roundTrips is what n of them take, in milliseconds.
func (f *far) roundTrips(n int) func() (float64, error) {
	return func() (float64, error) { return milliseconds(time.Duration(n) * f.rtt), nil }
}

// firstByte runs a program and returns the milliseconds until it prints
// something.
func firstByte(ctx context.Context, argv ...string) func() (float64, error) {
	return func() (float64, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		_, err = stdout.Read(make([]byte, 1))
		took := time.Since(start)
		return milliseconds(took), errors.Join(err, cmd.Wait())
	}
}
