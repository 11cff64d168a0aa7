//go:build unix

package session_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// What becomes of commands when their client goes.

// ways are the ways in which a client leaves a command alone.
var ways = map[string]func(l *link, cmd *session.Cmd){
	"close":   func(l *link, _ *session.Cmd) { _ = l.Close() },
	"cut":     func(l *link, _ *session.Cmd) { l.cut() },
	"abandon": func(_ *link, cmd *session.Cmd) { _ = cmd.Abandon() },
}

// eachWay runs f in every mode and for every way to leave.
func eachWay(t *testing.T, f func(t *testing.T, mode string, leave func(l *link, cmd *session.Cmd))) {
	eachMode(t, func(t *testing.T, mode string) {
		for name, leave := range ways {
			t.Run(name, func(t *testing.T) { f(t, mode, leave) })
		}
	})
}

// eachWayAndPath is eachWay, and every way in one mode over every path; with that grace.
func eachWayAndPath(t *testing.T, grace time.Duration, f func(t *testing.T, mode string, link *link, leave func(l *link, cmd *session.Cmd))) {
	eachWay(t, func(t *testing.T, mode string, leave func(l *link, cmd *session.Cmd)) {
		opts := execd.Options{Mode: mode, Grace: grace}
		if mode == "group" {
			eachPath(t, opts, func(t *testing.T, link *link) { f(t, mode, link, leave) })
			return
		}
		f(t, mode, connect(t, &session.Server{Handler: handlerWith(t, opts)}), leave)
	})
}

// wildTree is a script that starts sleepers, some of which leave its session and parents, and waits. It returns how many.
func wildTree(mode, word string) (script string, n int) {
	script, n = "trap '' HUP; sleep "+word+" & sh -c 'trap \"\" HUP TERM; sleep "+word+"' & ", 2
	if mode != "group" {
		script += "(setsid sh -c 'trap \"\" TERM HUP; sleep " + word + " & sleep " + word + "' &) ; " +
			"env -i setsid sleep " + word + " & "
		n += 3
	}
	return script + "echo ready; wait; wait", n
}

func TestOrphansAreKilled(t *testing.T) {
	eachWayAndPath(t, grace, func(t *testing.T, mode string, link *link, leave func(l *link, cmd *session.Cmd)) {
		word := aeon()
		killAtEnd(t, word)
		script, n := wildTree(mode, word)
		cmd := link.sh(script)
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		begin := time.Now()
		eventually(t, fmt.Sprintf("%d processes run", n), func() bool {
			now := alive(t, word)
			if len(now) < n && time.Since(begin) > patience-time.Second {
				t.Logf("only these run: %v", now)
			}
			return len(now) >= n
		})
		leave(link, cmd)
		missing, ok := errors.AsType[*session.ExitMissingError](finish(t, "Wait", cmd.Wait))
		if !ok || !missing.Started {
			t.Errorf("Wait: %v", missing)
		}
		_ = link.Close()
		if err := link.result(); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
		if left := alive(t, word); len(left) > 0 { // the server does not return before they are gone
			t.Errorf("left: %v", left)
		}
	})
}

// A command that cleans up after itself is given the time to do so.
func TestOrphansAreAskedFirst(t *testing.T) {
	eachWayAndPath(t, patience, func(t *testing.T, _ string, link *link, leave func(l *link, cmd *session.Cmd)) {
		file := t.TempDir() + "/cleaned"
		cmd := link.sh(`trap 'echo hup >>"$1"' HUP; trap 'echo term >>"$1"; exit 0' TERM; echo ready; while :; do sleep 0.01; done`, file)
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		leave(link, cmd)
		_ = finish(t, "Wait", cmd.Wait)
		_ = link.Close()
		_ = link.result()
		if text, _ := os.ReadFile(file); string(text) != "hup\nterm\n" {
			t.Errorf("the command noted %q", text)
		}
	})
}

// A kept command lives on, also one that goes on printing, and the server sees to it until its end.
func TestOrphansAreKept(t *testing.T) {
	eachWay(t, func(t *testing.T, mode string, leave func(l *link, cmd *session.Cmd)) {
		var book logBook
		link := connect(t, &session.Server{Handler: newHandler(t, mode), Log: book.logger(0)})
		dir := t.TempDir()
		cmd := link.sh(`echo ready; while ! [ -e "$1/go" ]; do sleep 0.01; done; seq 1 100000 && seq 1 100000 >&2 && echo done >"$1/done"; exit 7`, dir)
		cmd.Orphan = session.OrphanKeep
		out, _ := cmd.StdoutPipe()
		errs, _ := cmd.StderrPipe()
		_ = errs
		mustStart(t, cmd)
		readLine(t, out)
		leave(link, cmd)
		if err := finish(t, "Wait", cmd.Wait); cmd.ProcessState != nil || err == nil {
			t.Errorf("Wait: %v", err)
		}
		_ = link.Close()
		select {
		case <-link.served:
			t.Error("ServeConn returned before the kept command ended")
		case <-time.After(2 * grace / 5): // it has nothing to wait for: this only gives a wrong one time to show
		}
		if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = link.result()
		if _, err := os.Stat(dir + "/done"); err != nil {
			t.Error("the kept command did not get to its end")
		}
		for _, want := range []string{"command kept", "how=exited code=7", "orphaned=true"} {
			if !strings.Contains(book.String(), want) {
				t.Errorf("no %q in the log:\n%s", want, book.String())
			}
		}
	})
}

// What a command left in the background after its end belongs to the user.
func TestBackgroundIsTheUsers(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		word := aeon()
		killAtEnd(t, word)
		link := connect(t, &session.Server{Handler: newHandler(t, mode)})
		out, err := link.sh("sleep " + word + " </dev/null >/dev/null 2>&1 & echo left").Output()
		if err != nil || string(out) != "left\n" {
			t.Fatalf("%q, %v", out, err)
		}
		_ = link.Close()
		_ = link.result()
		eventually(t, "the background is alive", isAlive(t, word))
	})
}

// A session goes on when one of its commands is abandoned.
func TestAbandon(t *testing.T) { eachPath(t, execd.Options{}, testAbandon) }

func testAbandon(t *testing.T, link *link) {
	word := aeon()
	killAtEnd(t, word)
	if err := link.Command("true").Abandon(); err == nil {
		t.Error("abandoned before Start")
	}
	neighbour := link.Command("cat")
	in, _ := neighbour.StdinPipe()
	out, _ := neighbour.StdoutPipe()
	mustStart(t, neighbour)
	cmd := link.Command("sleep", word)
	mustStart(t, cmd)
	if err := cmd.Abandon(); err != nil {
		t.Error(err)
	}
	_ = cmd.Abandon()
	missing, ok := errors.AsType[*session.ExitMissingError](finish(t, "Wait", cmd.Wait))
	if !ok || !missing.Started || errors.Is(missing, session.ErrConnLost) || !strings.Contains(missing.Error(), "abandoned") {
		t.Errorf("Wait: %v", missing)
	}
	eventually(t, "the command is gone", isGone(t, word))
	if _, err := io.WriteString(in, "line\n"); err != nil {
		t.Error(err)
	}
	if line := readLine(t, out); line != "line" {
		t.Errorf("line %q", line)
	}
	_ = in.Close()
	if err := finish(t, "Wait", neighbour.Wait); err != nil {
		t.Error(err)
	}
}

// Only the end of the data is the end of stdin: whatever else ends, the command never takes a part for the whole.
func TestStdinIsNeverEndedFalsely(t *testing.T) {
	const size = 4 << 20
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	eachMode(t, func(t *testing.T, mode string) {
		handler := newHandler(t, mode)
		for i := range rounds {
			dir := t.TempDir()
			served := make(chan error, 1)
			near, far := socketpair(t)
			srv := &session.Server{Handler: handler}
			go func() { served <- srv.ServeConn(t.Context(), far, session.Peer{}) }()
			fault := muxtest.NewFault(near)
			at := int64(i) * size / int64(rounds) // from before the first byte on
			switch i % 4 {
			case 1:
				fault.CutRead(at%500, io.ErrUnexpectedEOF)
			case 3:
				fault.CutWrite(at, io.ErrClosedPipe)
			}
			client, err := session.NewClient(cutConn{fault}, nil)
			if err != nil {
				continue // cut within hello
			}
			cmd := client.Command("/bin/sh", "-c", `cat >"$1/f" && echo done >"$1/g"`, "sh", dir)
			cmd.Stdin = &cutter{left: int(at), cut: func() { _ = near.CloseWrite(); _ = near.Close() }}
			err = finish(t, "Run", cmd.Run)
			if err == nil || cmd.ProcessState != nil && cmd.ProcessState.Success() {
				t.Errorf("round %d: Run: %v", i, err)
			}
			_ = client.Close()
			if err := finish(t, "ServeConn", func() error { return <-served }); err != nil {
				t.Logf("round %d: ServeConn: %v", i, err)
			}
			if _, err := os.Stat(dir + "/g"); err == nil {
				t.Fatalf("round %d: the command took a part for the whole", i)
			}
		}
	})
}

// cutConn closes itself when it is cut: the other end sees half a frame.
type cutConn struct{ *muxtest.Fault }

func (c cutConn) Write(p []byte) (int, error) {
	n, err := c.Fault.Write(p)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// cutter is an endless reader that cuts the connection when so much was read.
type cutter struct {
	left int
	cut  func()
}

func (c *cutter) Read(p []byte) (int, error) {
	n := min(len(p), 10007)
	if c.left -= n; c.left <= 0 {
		c.cut()
	}
	return n, nil
}

// Under keep, stdin stays open for the command's life.
func TestKeptStdinStaysOpen(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		dir, word := t.TempDir(), aeon()
		link := connect(t, &session.Server{Handler: newHandler(t, mode)})
		cmd := link.Command("/bin/sh", "-c", `echo ready; cat >"$1/f"; echo done >"$1/g"`, word, dir)
		cmd.Orphan = session.OrphanKeep
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		if _, err := io.WriteString(in, "a part"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the part arrives", func() bool { b, _ := os.ReadFile(dir + "/f"); return string(b) == "a part" })
		link.cut()
		_ = finish(t, "Wait", cmd.Wait)
		select {
		case <-link.served:
			t.Error("ServeConn returned before the kept command ended")
		case <-time.After(grace / 2): // time for a wrong end to show
		}
		if _, err := os.Stat(dir + "/g"); err == nil {
			t.Error("the command took a part for the whole")
		}
		if pids := alive(t, word); len(pids) != 1 {
			t.Errorf("processes %v", pids)
		} else if err := unix.Kill(-pids[0], unix.SIGKILL); err != nil { // it leads a group
			t.Error(err)
		}
		if err := link.result(); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
	})
}

func TestTimeout(t *testing.T) {
	const enough = time.Second // for a shell to set its traps on a busy machine
	eachMode(t, func(t *testing.T, mode string) {
		link := connect(t, &session.Server{Handler: newHandler(t, mode)})
		word := aeon()
		killAtEnd(t, word)
		script, n := wildTree(mode, word)
		cmd := link.sh("trap '' TERM; echo before; " + script)
		cmd.Timeout = enough
		out, err := finishOutput(t, cmd)
		if string(out) != "before\nready\n" {
			t.Errorf("output %q", out)
		}
		if kindOf(err) != "exit error: signal: killed (timeout)" {
			t.Errorf("error: %v", err)
		}
		if r := cmd.ProcessState.Record(); r.How != proto.HowTimeout || r.Output != proto.OutputComplete {
			t.Errorf("record %+v", r)
		}
		if left := alive(t, word); len(left) > 0 {
			t.Errorf("left of %d: %v", n, left)
		}
		for _, c := range []struct {
			script, want string
			how          proto.How
		}{
			{"trap 'exit 7' TERM; trap '' HUP; while :; do sleep 0.01; done", "exit error: exit status 7 (timeout)", proto.HowTimeout},
			{"trap 'exit 0' TERM; trap '' HUP; while :; do sleep 0.01; done", "exit error: exit status 0 (timeout)", proto.HowTimeout},
			{"exec sleep 600", "exit error: signal: hangup (timeout)", proto.HowTimeout},
		} {
			cmd := link.sh(c.script)
			cmd.Timeout = enough
			if err := finish(t, "Run", cmd.Run); kindOf(err) != c.want || cmd.ProcessState.Success() {
				t.Errorf("%s: %v", c.script, err)
			} else if r := cmd.ProcessState.Record(); r.How != c.how {
				t.Errorf("%s: record %+v", c.script, r)
			}
		}
		cmd = link.Command("true")
		cmd.Timeout = time.Hour
		if err := finish(t, "Run", cmd.Run); err != nil {
			t.Errorf("not timed out: %v", err)
		}
	})
}

func finishOutput(t *testing.T, cmd *session.Cmd) (out []byte, err error) {
	t.Helper()
	err = finish(t, fmt.Sprintf("%.20s", cmd), func() (err error) { out, err = cmd.Output(); return err })
	return out, err
}
