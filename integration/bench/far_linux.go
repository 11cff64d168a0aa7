package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const farAddress = "10.91.0.2"

func namespace(name string) string { return "/run/netns/" + name }

// far is a place that is a round trip away, in a network of its own.
type far struct {
	rtt    time.Duration
	near   string // namespaces
	away   string
	echo   net.Listener
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
	f = &far{rtt: rtt, near: fmt.Sprintf("rexbn%d", os.Getpid()), away: fmt.Sprintf("rexbf%d", os.Getpid())}
	f.link = exec.Command(e.path("longlink"), "-rtt", rtt.String(), "-near", f.near, "-far", f.away)
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
	err = f.startEcho()
	if err == nil {
		f.ssh, err = e.startSSHD(f.place())
	}
	if err == nil {
		f.remote, err = e.startRemote(f.place())
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *far) place() place {
	return place{name: "far", address: farAddress, server: []string{"nsenter", "--net=" + namespace(f.away)}, inside: f.inside}
}

func (f *far) close() {
	if f.echo != nil {
		_ = f.echo.Close()
	}
	if f.ssh != nil {
		f.ssh.close()
	}
	if f.remote != nil {
		f.remote.close()
	}
	_ = f.hold.Close()
	_ = f.link.Wait()
}

// inside runs work on a thread of the near end, so that what it starts and dials
// is there. The thread ends with it.
func (f *far) inside(work func() error) error { return within(f.near, work) }

func within(name string, work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		ns, err := os.Open(namespace(name))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err == nil {
			err = work()
		}
		done <- err
	}()
	return <-done
}

// startEcho starts what answers bytes with the same bytes at the far end.
func (f *far) startEcho() error {
	err := within(f.away, func() (err error) {
		f.echo, err = net.Listen("tcp", farAddress+":0")
		return err
	})
	if err != nil {
		return err
	}
	go func() { // ends with the listener
		for {
			conn, err := f.echo.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	return nil
}

// roundTrips connects and has bytes echoed until n round trips have passed, and
// returns the milliseconds.
func (f *far) roundTrips(n int) func() (float64, error) {
	return func() (took float64, err error) {
		err = f.inside(func() error {
			start := time.Now()
			conn, err := net.Dial("tcp", f.echo.Addr().String())
			if err != nil {
				return err
			}
			defer conn.Close()
			for range n - 1 {
				if _, err = conn.Write([]byte("x")); err == nil {
					_, err = io.ReadFull(conn, make([]byte, 1))
				}
				if err != nil {
					return err
				}
			}
			took = milliseconds(time.Since(start))
			return nil
		})
		return took, err
	}
}

// firstByte runs a program at the near end and returns the milliseconds until it
// prints something.
func (f *far) firstByte(ctx context.Context, argv ...string) func() (float64, error) {
	return func() (took float64, err error) {
		err = f.inside(func() error {
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				return err
			}
			start := time.Now()
			if err := cmd.Start(); err != nil {
				return err
			}
			_, err = stdout.Read(make([]byte, 1))
			took = milliseconds(time.Since(start))
			return errors.Join(err, cmd.Wait())
		})
		return took, err
	}
}
