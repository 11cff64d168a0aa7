//go:build linux || darwin || freebsd

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// However rex ends, the terminal is as it was before.
func TestTerminalRestored(t *testing.T) {
	const loop = "trap 'exit 3' INT; echo ready; while :; do sleep 0.1; done"
	for name, c := range map[string]struct {
		args []string
		end  func(r *running)
		want string
	}{
		"exit":       {[]string{"-t", "local:", "echo ready; read x; exit 3"}, func(r *running) { r.types("\r") }, "3"},
		"killed":     {[]string{"-t", "local:", "echo ready; read x; kill -9 $$"}, func(r *running) { r.types("\r") }, "137"},
		"shell":      {[]string{"local:"}, func(r *running) { r.types("exit 4\r") }, "4"},
		"disconnect": {[]string{"-t", "local:", loop}, func(r *running) { r.types("\r~.") }, "255"},
		"TERM":       {[]string{"-t", "local:", loop}, func(r *running) { r.signal(syscall.SIGTERM) }, "143"},
		"HUP":        {[]string{"-t", "local:", loop}, func(r *running) { r.signal(syscall.SIGHUP) }, "129"},
		"INT":        {[]string{"-t", "local:", loop}, func(r *running) { r.signal(syscall.SIGINT) }, "3"},
		"QUIT":       {[]string{"-t", "local:", "echo ready; exec sleep 1000"}, func(r *running) { r.signal(syscall.SIGQUIT) }, "131"},
		"timeout":    {[]string{"-t", "--timeout", "0.5", "local:", loop}, func(*running) {}, "124"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rex := newTerminal(t, "rex", c.args...)
			before := rex.mode()
			rex.launch()
			if name != "shell" {
				rex.see("ready")
			}
			until(t, "raw mode", func() bool { return rex.mode() != before })
			c.end(rex)
			rex.ends(c.want)
			if after := rex.mode(); after != before {
				t.Errorf("the terminal is %s, was %s", after, before)
			}
		})
	}
}

// A refused command leaves the terminal alone, and so does a daemon that dies.
func TestTerminalRestoredAfterFailures(t *testing.T) {
	t.Parallel()
	rex := newTerminal(t, "rex", "exec", "-t", "local:", "nosuchprogram")
	before := rex.mode()
	rex.launch()
	rex.ends("127")
	if after := rex.mode(); after != before {
		t.Errorf("refused: the terminal is %s, was %s", after, before)
	}
	rex.see("rex: error: command not found")

	daemon, host := startDaemon(t)
	rex = newTerminal(t, "rex", "-t", host, "echo ready; read x")
	rex.launch()
	rex.see("ready")
	until(t, "raw mode", func() bool { return rex.mode() != before })
	daemon.signal(syscall.SIGKILL)
	rex.ends("255")
	if after := rex.mode(); after != before {
		t.Errorf("daemon killed: the terminal is %s, was %s", after, before)
	}
	rex.see("rex: error: connection lost")
	rex.see("\r\nrex: hint: ") // the terminal was raw no more
}

func TestWindowSize(t *testing.T) {
	t.Parallel()
	// A shell may miss a second signal while its trap runs, so that the sizes
	// are not printed by the trap.
	rex := startOnTerminal(t, "rex", "-t", "local:", "trap 'echo changed' WINCH; while :; do stty size; sleep 0.05; done")
	rex.see("30 100")
	rex.resize(44, 111)
	rex.see("changed")
	rex.see("44 111")
	rex.resize(20, 70)
	rex.see("20 70")
	rex.types("\r~.")
	rex.ends("255")
}

// The command's terminal has the modes and special keys of this one.
func TestModes(t *testing.T) {
	t.Parallel()
	rex := newTerminal(t, "rex", "-t", "local:", "stty -a; echo done")
	stty := exec.Command("stty", "erase", "^X", "quit", "undef", "-echo", "ixoff", "-iutf8")
	stty.Stdin = rex.tty
	if out, err := stty.CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	rex.launch()
	rex.ends("0")
	rex.see("done")
	for _, mode := range []string{"erase = ^X;", "quit = <undef>;", " -echo ", " ixoff ", "rows 30; columns 100;"} {
		if !strings.Contains(rex.out.String(), mode) {
			t.Errorf("%q is missing:\n%s", mode, rex.out)
		}
	}
}

// The keys are the command's, Ctrl-C and Ctrl-Z too.
func TestKeysGoThrough(t *testing.T) {
	t.Parallel()
	rex := startOnTerminal(t, "rex", "-t", "local:", "trap 'echo got int; exit 9' INT; stty susp undef; echo ready; while :; do sleep 0.05; done")
	rex.see("ready")
	rex.types("\x1a")
	rex.types("\x03")
	rex.see("got int")
	rex.ends("9")
}

// ~^Z suspends rex, with the terminal as the shell wants it, and fg goes on
// where it was.
func TestSuspend(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no shell with job control")
	}
	shell := startOnTerminal(t, bash, "--norc", "--noprofile", "--noediting", "-i")
	shell.types("stty -echo; echo mode $((1+1))\n")
	shell.see("mode 2")
	before := shell.mode()
	for range 2 {
		shell.types("rex -t local: 'stty -echo; echo ready; read x; echo got $x; read y; echo and $y; exit 7'; echo code $?\n")
		shell.see("ready")
		shell.types("\r~\x1a")
		shell.see("Stopped")
		until(t, "the shell's mode", func() bool { return shell.mode() == before })
		shell.types("fg >/dev/null; echo code $?\n")
		until(t, "raw mode", func() bool { return shell.mode() != before })
		shell.types("more\r")
		shell.see("and more")
		shell.see("code 7")
		if after := shell.mode(); after != before {
			t.Errorf("the terminal is %s, was %s", after, before)
		}
	}
	shell.types("exit\n")
	shell.ends("0")
}

// A program that paints the whole screen.
func TestEditor(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("vi"); err != nil {
		t.Skip("no editor")
	}
	file := filepath.Join(t.TempDir(), "file")
	rex := newTerminal(t, "rex", "-t", "local:", "vi -u NONE "+file)
	before := rex.mode()
	rex.launch()
	rex.see("\x1b[")
	rex.types("ihello\x1b")
	rex.resize(40, 90)
	rex.types(":wq\r")
	rex.ends("0")
	if after := rex.mode(); after != before {
		t.Errorf("the terminal is %s, was %s", after, before)
	}
	if out, err := exec.Command("cat", file).Output(); err != nil || strings.TrimSpace(string(out)) != "hello" {
		t.Errorf("%q, %v", out, err)
	}
}
