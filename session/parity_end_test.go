//go:build unix

package session_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Parity: how commands end, contexts, WaitDelay and wrong use.

// awaitExit waits until a command's process has ended, before Wait.
func awaitExit(t testing.TB, c parityCmd) {
	t.Helper()
	switch c := c.(type) {
	case remoteCmd:
		within(t, "Exited", c.Exited())
	case localCmd:
		eventually(t, "the process is a zombie", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
			return err == nil && bytes.Contains(stat, []byte(") Z "))
		})
	}
}

func statusCases() []parityCase {
	script := func(line string) func(w *world) { return func(w *world) { w.run(w.sh(line)) } }
	var all []parityCase
	for _, code := range []int{0, 1, 2, 3, 63, 64, 124, 125, 126, 127, 128, 129, 137, 254, 255} {
		line := fmt.Sprintf("exit %d", code)
		all = append(all, parityCase{line, script(line)})
	}
	for _, sig := range []string{"HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM"} {
		all = append(all, parityCase{"dies of " + sig, script("ulimit -c 0; kill -" + sig + " $$; sleep 600")})
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGUSR2} {
		all = append(all, parityCase{"Signal " + sig.String(), func(w *world) { w.signal(sig) }})
	}
	program := func(content string, mode os.FileMode) func(w *world) {
		return func(w *world) { w.run(w.cmd(w.file("prog", content, mode))) }
	}
	return append(all, []parityCase{
		{"child dies of TERM", script(`sh -c 'kill -TERM $$'; exit $?`)},
		{"Signal is for the process alone", func(w *world) {
			c := w.sh(`trap "exit 9" USR1; exec 3<&0; (trap "echo signaled" USR1; echo ready; read x <&3; echo child lives) & wait; exit 1`)
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			w.must(c.Signal(syscall.SIGUSR1))
			awaitExit(w, c)
			_, err = io.WriteString(in, "x\n")
			w.must(err)
			w.note("line", readLine(w, out))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"Signal after Wait", func(w *world) {
			c := w.cmd("true")
			w.must(c.Run())
			w.noteErr("signal", c.Signal(syscall.SIGTERM))
			w.noteErr("kill", c.Signal(os.Kill))
		}},
		{"Signal is trapped", func(w *world) {
			c := w.sh(`trap "echo got it; exit 0" TERM; echo ready; while :; do sleep 0.01; done`)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			w.noteErr("signal", c.Signal(syscall.SIGTERM))
			w.note("line", readLine(w, out))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"not found in PATH", func(w *world) { w.run(w.cmd("no-such-program-anywhere", "x")) }},
		{"not found", func(w *world) { w.run(w.cmd("/no/such/program")) }},
		{"file in place of a directory", func(w *world) { w.run(w.cmd(w.file("f", "", 0o600) + "/prog")) }},
		{"not executable", program("#!/bin/sh\n", 0o600)},
		{"no program", program("this is text\n", 0o700)},
		{"empty program", program("", 0o700)},
		{"interpreter missing", program("#!/no/such/interpreter\n", 0o700)},
		{"script", program("#!/bin/sh -e\necho \"$0\" | tail -c 5; false\n", 0o700)},
		{"directory", func(w *world) { w.run(w.cmd(w.dir)) }},
		{"empty name", func(w *world) { w.run(w.cmd("")) }},
		{"in the background, holding nothing", script("sleep 600 </dev/null >/dev/null 2>&1 & kill -9 $!; echo done")},
	}...)
}

// signal runs a command that dies of the signal.
func (w *world) signal(sig syscall.Signal) {
	c := w.sh("echo ready; exec sleep 600")
	out, err := c.StdoutPipe()
	w.must(err)
	w.must(c.Start())
	w.note("line", readLine(w, out))
	w.noteErr("signal", c.Signal(sig))
	w.noteEnd(c, finish(w, "Wait", c.Wait))
}

// canceled starts a script, cancels its context once it is ready, and notes the end.
func (w *world) canceled(script string, adjust func(c parityCmd)) {
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	c := w.shContext(ctx, script)
	adjust(c)
	out, err := c.StdoutPipe()
	w.must(err)
	w.must(c.Start())
	w.note("line", readLine(w, out))
	cancel()
	w.noteEnd(c, finish(w, "Wait", c.Wait))
}

func contextCases() []parityCase {
	return []parityCase{
		{"canceled before Start", func(w *world) {
			ctx, cancel := context.WithCancel(w.Context())
			cancel()
			w.run(w.shContext(ctx, "echo ran > "+w.dir+"/ran"))
			_, err := os.Stat(w.dir + "/ran")
			w.note("ran", err == nil)
		}},
		{"deadline before Start", func(w *world) {
			ctx, cancel := context.WithTimeout(w.Context(), -1)
			defer cancel()
			w.run(w.shContext(ctx, "exit 0"))
		}},
		{"canceled while it runs", func(w *world) { w.canceled("echo ready; exec sleep 600", func(parityCmd) {}) }},
		{"deadline while it runs", func(w *world) {
			ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
			defer cancel()
			w.run(w.shContext(ctx, "exec sleep 600"))
		}},
		{"canceled after the end", func(w *world) {
			ctx, cancel := context.WithCancel(w.Context())
			c := w.shContext(ctx, "exit 0")
			w.noteEnd(c, c.Run())
			cancel()
		}},
		{"context that never ends", func(w *world) { w.run(w.shContext(w.Context(), "echo x; exit 3")) }},
		{"Cancel is nil", func(w *world) {
			w.canceled("echo ready; sleep 0.1; exit 0", func(c parityCmd) { *c.fields().Cancel = nil })
		}},
		{"Cancel lets it end well", func(w *world) {
			w.canceled(`trap "exit 0" TERM; echo ready; while :; do sleep 0.01; done`, func(c parityCmd) {
				*c.fields().Cancel = func() error { return c.Signal(syscall.SIGTERM) }
			})
		}},
		{"Cancel lets it exit 3", func(w *world) {
			w.canceled(`trap "exit 3" TERM; echo ready; while :; do sleep 0.01; done`, func(c parityCmd) {
				*c.fields().Cancel = func() error { return c.Signal(syscall.SIGTERM) }
			})
		}},
		{"Cancel says process done", func(w *world) {
			w.canceled("echo ready; sleep 0.1; exit 0", func(c parityCmd) {
				*c.fields().Cancel = func() error { return fmt.Errorf("wrapped: %w", os.ErrProcessDone) }
			})
		}},
		{"Cancel fails", func(w *world) {
			w.canceled("echo ready; sleep 0.1; exit 0", func(c parityCmd) {
				*c.fields().Cancel = func() error { return errCustom }
			})
		}},
		{"Cancel fails and it exits 3", func(w *world) {
			w.canceled("echo ready; sleep 0.1; exit 3", func(c parityCmd) {
				*c.fields().Cancel = func() error { return errCustom }
			})
		}},
		{"Cancel without a context", func(w *world) {
			c := w.cmd("true")
			*c.fields().Cancel = func() error { return nil }
			w.noteErr("start", c.Start())
		}},
		{"nil context", func(w *world) {
			defer func() { w.note("panic", recover()) }()
			w.commandWithNilContext()
		}},
	}
}

// holder is a script whose background process holds stdout.
func (w *world) holder(script string) (parityCmd, string) {
	word := aeon()
	killAtEnd(w, word)
	return w.sh("sleep " + word + " & " + script), word
}

func delayCases() []parityCase {
	held := func(script string, delay time.Duration) func(w *world) {
		return func(w *world) {
			c, _ := w.holder(script)
			*c.fields().WaitDelay = delay
			w.run(c)
		}
	}
	return []parityCase{
		{"WaitDelay, output held", held("echo out", 50*time.Millisecond)},
		{"WaitDelay, output held, exit 3", held("echo out; exit 3", 50*time.Millisecond)},
		{"WaitDelay, dies, output held", held("kill -KILL $$", 50*time.Millisecond)},
		{"WaitDelay not needed", func(w *world) {
			c := w.sh("echo out; exit 0")
			*c.fields().WaitDelay = patience
			w.run(c)
		}},
		{"no WaitDelay, output held for a while", func(w *world) { w.run(w.sh("(sleep 0.2; echo late) & echo early")) }},
		{"WaitDelay after Cancel that does nothing", func(w *world) {
			w.canceled("echo ready; exec sleep 600", func(c parityCmd) {
				*c.fields().Cancel = func() error { return nil }
				*c.fields().WaitDelay = 50 * time.Millisecond
			})
		}},
		{"WaitDelay after Cancel that fails", func(w *world) {
			w.canceled("echo ready; exec sleep 600", func(c parityCmd) {
				*c.fields().Cancel = func() error { return errCustom }
				*c.fields().WaitDelay = 50 * time.Millisecond
			})
		}},
		{"WaitDelay and nil Cancel", func(w *world) {
			w.canceled("echo ready; exec sleep 600", func(c parityCmd) {
				*c.fields().Cancel = nil
				*c.fields().WaitDelay = 50 * time.Millisecond
			})
		}},
		{"WaitDelay, StdoutPipe, output held", func(w *world) {
			c, _ := w.holder("echo out")
			*c.fields().WaitDelay = patience
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"WaitDelay, Stdin that does not end", func(w *world) {
			r, wr := w.pipe()
			c := w.cmd("true")
			*c.fields().Stdin = struct{ io.Reader }{r} // not an *os.File: it is copied
			w.must(c.Start())
			awaitExit(w, c)
			w.must(wr.Close()) // only now can the copy end
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
	}
}

func misuseCases() []parityCase {
	return []parityCase{
		{"Start twice", func(w *world) {
			c := w.sh("read x; echo $x")
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.noteErr("again", c.Start())
			_, err = in.Write([]byte("still open\n"))
			w.noteErr("write", err)
			w.note("line", readLine(w, out))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"Start after a failed Start", func(w *world) {
			c := w.cmd("/no/such/program")
			w.noteErr("start", c.Start())
			*c.fields().Path = "/bin/true"
			w.noteErr("again", c.Start())
		}},
		{"Run twice", func(w *world) {
			c := w.cmd("true")
			w.noteErr("run", c.Run())
			w.noteErr("again", c.Run())
		}},
		{"Wait before Start", func(w *world) { w.noteErr("wait", w.cmd("true").Wait()) }},
		{"Wait after a failed Start", func(w *world) {
			c := w.cmd("/no/such/program")
			w.noteErr("start", c.Start())
			w.noteErr("wait", c.Wait())
		}},
		{"Wait twice", func(w *world) {
			c := w.sh("exit 3")
			w.must(c.Start())
			w.noteEnd(c, c.Wait())
			w.noteErr("again", c.Wait())
		}},
		{"Output with Stdout set", func(w *world) {
			c := w.cmd("true")
			*c.fields().Stdout = &bytes.Buffer{}
			_, err := c.Output()
			w.noteErr("output", err)
		}},
		{"CombinedOutput with one set", func(w *world) {
			c := w.cmd("true")
			*c.fields().Stdout = &bytes.Buffer{}
			_, err := c.CombinedOutput()
			w.noteErr("stdout", err)
			c = w.cmd("true")
			*c.fields().Stderr = &bytes.Buffer{}
			_, err = c.CombinedOutput()
			w.noteErr("stderr", err)
		}},
		{"pipes of what is set", func(w *world) {
			c := w.cmd("true")
			*c.fields().Stdin, *c.fields().Stdout, *c.fields().Stderr = strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}
			w.notePipes(c)
		}},
		{"pipes made twice", func(w *world) {
			c := w.cmd("true")
			w.notePipes(c)
			w.notePipes(c)
			w.noteEnd(c, c.Run()) // closes them
		}},
		{"pipes after Start", func(w *world) {
			c := w.cmd("true")
			w.must(c.Start())
			w.notePipes(c)
			w.noteEnd(c, c.Wait())
		}},
	}
}

func (w *world) notePipes(c parityCmd) {
	_, err := c.StdinPipe()
	w.noteErr("StdinPipe", err)
	_, err = c.StdoutPipe()
	w.noteErr("StdoutPipe", err)
	_, err = c.StderrPipe()
	w.noteErr("StderrPipe", err)
}
