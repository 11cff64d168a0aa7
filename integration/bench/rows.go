//go:build unix

package main

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"github.com/rexec/rex/session"
)

// rows is the table.
func (e *environment) rows() []row {
	const size = 1 << 30
	zero := fmt.Sprintf("head -c %d /dev/zero", size)
	long := fmt.Sprintf("head -c %d /dev/zero", int64(3*size))
	rex := e.path("rex")
	rows := []row{
		{"cold start", "ms", []column{
			{"rex --version", timed(e.ctx, rex, "--version")},
			{"limit: true", timed(e.ctx, "true")},
		}},
		{"new connection + true", "ms", e.withSSH(
			[]column{{"rex", timed(e.ctx, rex, e.addr, "true")}},
			func(s *sshd) []column {
				return []column{{"rex over TCP", timed(e.ctx, e.remote.command("true")...)}, {"ssh", timed(e.ctx, s.command("true")...)}}
			},
			column{"limit: sh -c true", timed(e.ctx, "/bin/sh", "-c", "true")},
		)},
		{"live session + true", "ms", e.withSSH(
			[]column{{"rex", e.each(50, e.runTrue)}},
			func(s *sshd) []column { return []column{{"ssh ControlMaster", timed(e.ctx, s.shared("true")...)}} },
			column{"limit: os/exec", e.each(50, execTrue)},
		)},
		{"commands, 16 at a time", "/s", []column{
			{"rex", e.parallel(400, e.runTrue)},
			{"limit: os/exec", e.parallel(400, execTrue)},
		}},
		{"stdout", "MB/s", e.withSSH(
			[]column{{"rex", rate(e.ctx, size, rex+" "+e.addr+" '"+zero+"' | cat >/dev/null")}},
			func(s *sshd) []column {
				return []column{
					{"rex over TCP", rate(e.ctx, size, e.remote.line(zero)+" | cat >/dev/null")},
					{"ssh", rate(e.ctx, size, s.line(zero)+" | cat >/dev/null")},
					{"ssh aes128-gcm", rate(e.ctx, size, s.line(zero, "-c", "aes128-gcm@openssh.com")+" | cat >/dev/null")},
				}
			},
			column{"limit: pipe", rate(e.ctx, size, zero+" | cat >/dev/null")},
		)},
		{"stdin", "MB/s", e.withSSH(
			[]column{{"rex", rate(e.ctx, size, zero+" | "+rex+" "+e.addr+" 'cat >/dev/null'")}},
			func(s *sshd) []column {
				return []column{
					{"rex over TCP", rate(e.ctx, size, zero+" | "+e.remote.line("cat >/dev/null"))},
					{"ssh", rate(e.ctx, size, zero+" | "+s.line("cat >/dev/null"))},
					{"ssh aes128-gcm", rate(e.ctx, size, zero+" | "+s.line("cat >/dev/null", "-c", "aes128-gcm@openssh.com"))},
				}
			},
			column{"limit: pipe", rate(e.ctx, size, zero+" | cat >/dev/null")},
		)},
		{"true on a Unix socket", "ms", []column{
			{"rex", timed(e.ctx, rex, e.addr, "true")},
			{"limit: rex --version", timed(e.ctx, rex, "--version")},
		}},
		{"passed descriptors", "MB/s", []column{
			{"rex", rate(e.ctx, 3*size, long+" | "+rex+" "+e.addr+" cat | cat >/dev/null")},
			// A session has a share of the processor for itself (sched(7), autogroup).
			{"setsid cat", rate(e.ctx, 3*size, long+" | setsid -w cat | cat >/dev/null")},
			{"limit: without rex", rate(e.ctx, 3*size, long+" | cat | cat >/dev/null")},
		}},
		{"memory of an idle session", "KiB", []column{{"rexd", e.idleMemory}}},
		{"memory of a running command", "KiB", []column{{"rexd", e.commandMemory}}},
	}
	return append(rows, e.farRows()...)
}

// farRows is what distance decides.
func (e *environment) farRows() []row {
	if e.far == nil {
		return nil
	}
	f := e.far
	return []row{
		{fmt.Sprintf("first byte of a new connection, %v away", f.rtt), "ms", []column{
			{"rex over TCP", f.firstByte(e.ctx, f.remote.command("echo up")...)},
			{"ssh", f.firstByte(e.ctx, f.ssh.command("echo up")...)},
			{"3 round trips", f.roundTrips(3)},
			{"limit: and the start of rex and of sh", sum(f.roundTrips(3), timed(e.ctx, e.path("rex"), "--version"), timed(e.ctx, "/bin/sh", "-c", "echo up"))},
		}},
	}
}

// sum measures things one after the other.
func sum(all ...func() (float64, error)) func() (float64, error) {
	return func() (total float64, err error) {
		for _, measure := range all {
			figure, err := measure()
			if err != nil {
				return 0, err
			}
			total += figure
		}
		return total, nil
	}
}

// withSSH puts the columns of OpenSSH between rex and the limit, if it is there.
func (e *environment) withSSH(rex []column, ssh func(*sshd) []column, limit column) []column {
	if e.ssh != nil {
		rex = append(rex, ssh(e.ssh)...)
	}
	return append(rex, limit)
}

func (e *environment) runTrue() error { return e.client.Command("true").Run() }
func execTrue() error                 { return exec.Command("true").Run() }

// each measures one call of work, over n in a row.
func (e *environment) each(n int, work func() error) func() (float64, error) {
	return func() (float64, error) {
		start := time.Now()
		for range n {
			if err := work(); err != nil {
				return 0, err
			}
		}
		return milliseconds(time.Since(start)) / float64(n), nil
	}
}

// parallel measures how many calls of work end a second, 16 at a time.
func (e *environment) parallel(n int, work func() error) func() (float64, error) {
	return func() (float64, error) {
		var wg sync.WaitGroup
		jobs, failed := make(chan struct{}), make(chan error, 16)
		start := time.Now()
		for range 16 {
			wg.Go(func() {
				for range jobs {
					if err := work(); err != nil {
						select {
						case failed <- err:
						default:
						}
					}
				}
			})
		}
		for range n {
			jobs <- struct{}{}
		}
		close(jobs)
		wg.Wait()
		select {
		case err := <-failed:
			return 0, err
		default:
			return float64(n) / time.Since(start).Seconds(), nil
		}
	}
}

// idleMemory is what the daemon grows by for a session that ran one command and
// does nothing.
func (e *environment) idleMemory() (float64, error) {
	const n = 200
	before, err := e.heldKiB()
	if err != nil {
		return 0, err
	}
	var clients []*session.Client
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	for range n {
		c, err := session.Dial(e.ctx, e.addr, nil)
		if err != nil {
			return 0, err
		}
		clients = append(clients, c)
		if err := c.Command("true").Run(); err != nil {
			return 0, err
		}
	}
	after, err := e.heldKiB()
	return (after - before) / n, err
}

// commandMemory is what the daemon grows by for a command that runs and does
// nothing.
func (e *environment) commandMemory() (float64, error) {
	const n = 200
	before, err := e.heldKiB()
	if err != nil {
		return 0, err
	}
	var cmds []*session.Cmd
	defer func() {
		for _, c := range cmds {
			_ = c.SignalTo("KILL", session.ToTree)
			_ = c.Wait()
		}
	}()
	for range n {
		c := e.client.Command("cat")
		if _, err := c.StdinPipe(); err != nil {
			return 0, err
		}
		c.Stdout, c.Stderr = io.Discard, &cappedWriter{}
		if err := c.Start(); err != nil {
			return 0, err
		}
		cmds = append(cmds, c)
	}
	after, err := e.heldKiB()
	return (after - before) / n, err
}

// cappedWriter is a writer that differs from io.Discard, so that stderr gets a
// stream of its own.
type cappedWriter struct{ n int }

func (w *cappedWriter) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}
