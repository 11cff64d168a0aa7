//go:build linux || darwin || freebsd

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// forever is a command that writes its process id to a file, sets traps, and
// runs until a signal ends it.
func forever(file, traps string) string {
	return fmt.Sprintf("%s\necho $$ >%s; echo ready; while :; do sleep 0.05; done", traps, file)
}

// The ladder of Ctrl-C: SIGINT, SIGTERM, and then rex gives up, by SIGINT.
func TestInterruptLadder(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	status := filepath.Join(t.TempDir(), "status")
	rex := start(t, "rex", "--status-file", status, "local:", forever(pid, "trap 'echo int' INT; trap 'echo term' TERM"))
	rex.see("ready")
	rex.signal(syscall.SIGINT)
	rex.see("int")
	rex.signal(syscall.SIGINT)
	rex.see("term")
	rex.signal(syscall.SIGINT)
	rex.ends("INT")
	gone(t, readPID(t, pid))
	line, err := os.ReadFile(status)
	if err != nil || member(string(line), "exit") != "130" || member(string(line), "how") != "lost" {
		t.Errorf("%s, %v", line, err)
	}
	if !strings.Contains(rex.out.String(), "rex: warning: the command got SIGTERM; interrupt once more") {
		t.Errorf("no warning:\n%s", rex.out)
	}
}

// A command that dies of the interrupt takes rex along, so that loops stop.
func TestInterruptEndsLoops(t *testing.T) {
	t.Parallel()
	shell := start(t, "bash", "-c", "for i in 1 2 3; do rex local: 'echo ready; exec sleep 100'; echo next; done")
	shell.see("ready")
	if err := syscall.Kill(-shell.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	shell.ends("INT")
	if strings.Contains(shell.out.String(), "next") {
		t.Errorf("the loop went on:\n%s", shell.out)
	}
}

// One that catches it has its own status.
func TestInterruptCaught(t *testing.T) {
	t.Parallel()
	rex := start(t, "rex", "local:", "trap 'echo bye; exit 3' INT; echo ready; while :; do sleep 0.05; done")
	rex.see("ready")
	rex.signal(syscall.SIGINT)
	rex.ends("3")
	rex.see("bye")
}

// An interrupt that was ignored when rex was started, as behind nohup or in
// the background of a shell, stays so.
func TestInterruptIgnored(t *testing.T) {
	t.Parallel()
	rex := start(t, "sh", "-c", "trap '' INT HUP; exec rex local: 'trap \"echo int; exit 3\" INT; echo ready; while :; do sleep 0.05; done'")
	rex.see("ready")
	rex.signal(syscall.SIGINT)
	rex.signal(syscall.SIGHUP)
	rex.signal(syscall.SIGTERM)
	rex.ends("143")
	if strings.Contains(rex.out.String(), "int\n") {
		t.Errorf("the interrupt arrived:\n%s", rex.out)
	}
}

// SIGTERM and SIGHUP reach everything that the command has started, and rex
// has the command's status.
func TestEndSignals(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{syscall.SIGTERM: "143", syscall.SIGHUP: "129"} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			rex := start(t, "rex", "local:", fmt.Sprintf("setsid sh -c 'echo $$ >%s/2; exec sleep 1000' & echo $$ >%s/1; echo ready; wait", dir, dir))
			rex.see("ready")
			second := readPID(t, dir+"/2")
			rex.signal(sig)
			rex.ends(want)
			gone(t, readPID(t, dir+"/1"))
			gone(t, second)
		})
	}
}

// A command that does not heed SIGTERM is killed after 5 s, or at the second.
func TestEndIgnored(t *testing.T) {
	for name, second := range map[string]bool{"in time": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := filepath.Join(t.TempDir(), "pid")
			rex := start(t, "rex", "local:", forever(pid, "trap 'echo no' TERM"))
			rex.see("ready")
			rex.signal(syscall.SIGTERM)
			rex.see("no")
			if second {
				rex.signal(syscall.SIGTERM)
			}
			rex.ends("137")
			gone(t, readPID(t, pid))
		})
	}
}

// With --orphan keep a hangup leaves the command alone, and so does ~. .
func TestOrphanKeep(t *testing.T) {
	for name, leave := range map[string]func(*running){
		"hangup":     func(r *running) { r.signal(syscall.SIGHUP) },
		"disconnect": func(r *running) { r.types("\r~.") },
		"killed":     func(r *running) { r.signal(syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			_, host := startDaemon(t)
			rex := startOnTerminal(t, "rex", "-t", "--orphan", "keep", host, forever(file, "trap '' HUP"))
			rex.see("ready")
			pid := readPID(t, file)
			leave(rex)
			<-rex.ended
			if name != "killed" {
				rex.ends("255")
				rex.see("the command goes on at the host as process " + pid)
			}
			time.Sleep(300 * time.Millisecond) // for what must not happen
			if !alive(pid) {
				t.Error("the command is gone")
			}
			kill(t, pid)
		})
	}
}

// A client that is killed takes its command along, with what has left its
// session.
func TestClientKilled(t *testing.T) {
	_, socket := startDaemon(t)
	for _, host := range []string{"local:", socket} {
		t.Run(host[:5], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			rex := start(t, "rex", host, fmt.Sprintf(
				"(setsid sh -c 'echo $$ >%s/2; exec sleep 1000' &) ; env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$ >%s/3; exec sleep 1000\" &'; echo $$ >%s/1; exec sleep 1000",
				dir, dir, dir))
			var pids []string
			for _, name := range []string{"1", "2", "3"} {
				pids = append(pids, readPID(t, filepath.Join(dir, name)))
			}
			rex.signal(syscall.SIGKILL)
			<-rex.ended
			for _, pid := range pids {
				gone(t, pid)
			}
		})
	}
}

// Interrupted while it connects, rex ends at once, and nothing stays.
func TestInterruptConnecting(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	rex := start(t, "rex", "-o", "ProxyCommand=sh -c 'echo $$ >"+file+"; exec sleep 1000'", "host", "true")
	pid := readPID(t, file)
	rex.signal(syscall.SIGINT)
	rex.ends("INT")
	gone(t, pid)
}

// A daemon that does not answer does not keep rex from ending.
func TestEndWithoutAnswer(t *testing.T) {
	t.Parallel()
	daemon, host := startDaemon(t)
	// A device is not passed, so that the command does not hold what tells of rex's end.
	rex := start(t, "sh", "-c", `exec rex -v "$0" 'exec sleep 1000' </dev/zero`, host)
	rex.see(" started") // rex knows, which the command's own output does not tell
	daemon.signal(syscall.SIGSTOP)
	defer daemon.signal(syscall.SIGCONT)
	for range 3 {
		rex.signal(syscall.SIGTERM)
		time.Sleep(20 * time.Millisecond) // signals of one kind do not queue
	}
	rex.ends("255")
	rex.see("rex: error: the command did not end in time")
}
