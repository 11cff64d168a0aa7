//go:build unix

package session_test

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"

	"github.com/rexec/rex/session"
)

// captured is the stderr that Output put in an error.
func captured(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(exit.Stderr)
	}
	if exit, ok := errors.AsType[*session.ExitError](err); ok {
		return string(exit.Stderr)
	}
	return ""
}

// Parity: StdinPipe, StdoutPipe and StderrPipe.

func pipeCases() []parityCase {
	return []parityCase{
		{"StdinPipe", func(w *world) {
			c := w.cmd("sort")
			in, err := c.StdinPipe()
			w.must(err)
			var out strings.Builder
			*c.fields().Stdout = &out
			w.must(c.Start())
			_, err = io.WriteString(in, "b\na\n")
			w.noteErr("write", err)
			w.noteErr("close", in.Close())
			w.noteErr("close again", in.Close())
			_, err = io.WriteString(in, "c")
			w.noteErr("write after close", err)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			w.note("out", out.String())
		}},
		{"StdinPipe and StdoutPipe in turns", func(w *world) {
			c := w.cmd("cat")
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			for _, line := range []string{"one", "", "three \xff"} {
				_, err := io.WriteString(in, line+"\n")
				w.must(err)
				w.note("line", readLine(w, out))
			}
			w.noteErr("close", in.Close())
			rest, err := io.ReadAll(out)
			w.note("rest", string(rest))
			w.noteErr("read", err)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"StdinPipe is closed by Wait", func(w *world) {
			c := w.cmd("true")
			in, err := c.StdinPipe()
			w.must(err)
			w.must(c.Start())
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			_, err = io.WriteString(in, "x")
			w.noteErr("write", err)
			w.noteErr("close", in.Close())
		}},
		{"StdinPipe of a command that reads no more", func(w *world) {
			c := w.sh("exec <&-; echo closed; sleep 600")
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			err = finish(w, "a write fails", func() error {
				for {
					if _, err := io.WriteString(in, "x"); err != nil {
						return err
					}
				}
			})
			w.noteErr("write", err)
			w.must(c.Signal(syscall.SIGKILL))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"Wait while a write to StdinPipe waits", func(w *world) {
			// Something in the background holds stdin: nobody reads, and nobody ever will.
			c := w.sh("exec 3<&0; sleep 600 <&3 >/dev/null 2>&1 & echo $!")
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			written := make(chan error, 1)
			go func() {
				_, err := in.Write(make([]byte, 4<<20))
				written <- err
			}()
			pid := readLine(w, out)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			w.note("write failed", finish(w, "Write", func() error { return <-written }) != nil)
			w.must(exec.Command("kill", "-9", pid).Run())
		}},
		{"StdoutPipe", func(w *world) {
			c := w.sh("seq 1 200000; exit 7")
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			all, err := io.ReadAll(out)
			w.note("read", brief(all))
			w.noteErr("read", err)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			_, err = out.Read(make([]byte, 1))
			w.noteErr("read after Wait", err)
			w.noteErr("close after Wait", out.Close())
		}},
		{"StdoutPipe read long after the end", func(w *world) {
			c := w.sh("seq 1 10000; exit 7")
			*c.fields().WaitDelay = 1 // counts from Wait, not from the exit
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			awaitExit(w, c)
			all, err := io.ReadAll(out)
			w.note("read", brief(all))
			w.noteErr("read", err)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"StdoutPipe closed early", func(w *world) {
			c := w.cmd("yes")
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			w.noteErr("close", out.Close())
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"StdoutPipe not read", func(w *world) {
			c := w.sh("echo unread; exit 2")
			_, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"StdoutPipe read in part", func(w *world) {
			c := w.sh("echo abc; exit 0")
			out, err := c.StdoutPipe()
			w.must(err)
			w.must(c.Start())
			w.note("line", readLine(w, out))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"StderrPipe", func(w *world) {
			c := w.sh("echo out; echo err >&2; exit 1")
			var stdout strings.Builder
			*c.fields().Stdout = &stdout
			out, err := c.StderrPipe()
			w.must(err)
			w.must(c.Start())
			all, err := io.ReadAll(out)
			w.note("read", string(all))
			w.noteErr("read", err)
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			w.note("stdout", stdout.String())
		}},
		{"StdoutPipe and StderrPipe", func(w *world) {
			c := w.sh("seq 1 100000 & seq 1 100000 >&2; wait")
			out, err := c.StdoutPipe()
			w.must(err)
			errs, err := c.StderrPipe()
			w.must(err)
			w.must(c.Start())
			other := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(errs)
				other <- all
			}()
			all, err := io.ReadAll(out)
			w.note("stdout", brief(all))
			w.noteErr("read", err)
			w.note("stderr", brief(<-other))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
		}},
		{"pipes are closed when Start fails", func(w *world) {
			c := w.cmd("/no/such/program")
			in, err := c.StdinPipe()
			w.must(err)
			out, err := c.StdoutPipe()
			w.must(err)
			w.noteErr("start", c.Start())
			_, err = out.Read(make([]byte, 1))
			w.noteErr("read", err)
			_, err = in.Write([]byte("x"))
			w.noteErr("write", err)
		}},
	}
}
