//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// What differs from os/exec on purpose, as the documentation says.

func TestEnvIsThatOfALogin(t *testing.T) {
	t.Setenv("OF_THE_TEST", "secret")
	link := newLink(t)
	env := func(env ...string) map[string]string {
		cmd := link.Command("env", "-0")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		vars := make(map[string]string)
		for kv := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			name, value, _ := strings.Cut(kv, "=")
			vars[name] = value
		}
		return vars
	}
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	vars := env()
	for name, want := range map[string]string{"USER": me.Username, "LOGNAME": me.Username, "HOME": me.HomeDir, "SHELL": "/bin/sh"} {
		if vars[name] != want {
			t.Errorf("%s=%q, want %q", name, vars[name], want)
		}
	}
	if vars["PATH"] == "" || vars["OF_THE_TEST"] != "" {
		t.Errorf("PATH=%q OF_THE_TEST=%q", vars["PATH"], vars["OF_THE_TEST"])
	}
	vars = env("USER=other", "MORE=1")
	if vars["USER"] != "other" || vars["MORE"] != "1" || vars["HOME"] != me.HomeDir {
		t.Errorf("what is asked for is not added to the login's: %v", vars)
	}
}

func TestDirIsRelativeToHome(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(home+"/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	link := connect(t, &session.Server{Handler: handlerWith(t, execd.Options{Home: home})})
	for dir, want := range map[string]string{"": home, "sub": home + "/sub", "/": "/", "sub/..": home} {
		cmd := link.Command("/bin/pwd")
		cmd.Dir = dir
		out, err := cmd.Output()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
			t.Errorf("Dir %q: %q, %v, want %q", dir, got, err, want)
		}
	}
}

// A command must not take a part of its input for the whole.
func TestFailingStdinKills(t *testing.T) { eachPath(t, execd.Options{}, testFailingStdinKills) }

func testFailingStdinKills(t *testing.T, link *link) {
	done := t.TempDir() + "/done"
	cmd := link.sh(`cat >/dev/null && echo done >"$1"`, done)
	cmd.Stdin = io.MultiReader(bytes.NewReader(noise(1<<20)), iotest.ErrReader(errCustom))
	err := finish(t, "Run", cmd.Run)
	if !errors.Is(err, errCustom) {
		t.Errorf("error %v", err)
	}
	if s := cmd.ProcessState; s == nil || s.Success() {
		t.Errorf("state %v", s)
	}
	if _, err := os.Stat(done); err == nil {
		t.Error("the command took a part for the whole")
	}
}

func TestCancelKillsTheTree(t *testing.T) {
	eachModeAndPath(t, func(t *testing.T, link *link) {
		word := aeon()
		killAtEnd(t, word)
		ctx, cancel := context.WithCancel(t.Context())
		cmd := link.CommandContext(ctx, "/bin/sh", "-c", "trap '' HUP TERM; sleep "+word+" & echo ready; wait")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		mustStart(t, cmd)
		readLine(t, out)
		cancel()
		if _, err := io.ReadAll(out); err != nil { // os/exec would wait for sleep here
			t.Errorf("read: %v", err)
		}
		if err := finish(t, "Wait", cmd.Wait); kindOf(err) != "exit error: signal: killed" {
			t.Errorf("Wait: %v", err)
		}
		eventually(t, "sleep is gone", isGone(t, word))
	})
}

func TestRefusalsAreThoseOfOSExec(t *testing.T) {
	link := newLink(t)
	dir := t.TempDir()
	text := dir + "/text"
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir string
		code      proto.Code
		is        error
	}{
		{"no-such-program-anywhere", "", proto.CodeNotFound, exec.ErrNotFound},
		{"/no/such/program", "", proto.CodeNotFound, fs.ErrNotExist},
		{"true", "/no/such/dir", proto.CodeNoDirectory, fs.ErrNotExist},
		{text, "", proto.CodeNotExecutable, fs.ErrPermission},
		{dir, "", proto.CodeIsDirectory, fs.ErrPermission},
	} {
		cmd := link.Command(c.name)
		cmd.Dir = c.dir
		err := cmd.Run()
		refused, ok := errors.AsType[*session.Error](err)
		if !ok || refused.Code != c.code || !errors.Is(err, c.code) || refused.Name != c.name {
			t.Errorf("%q in %q: %v", c.name, c.dir, err)
		}
		if !errors.Is(err, c.is) || errors.Is(err, session.ErrConnLost) || errors.Is(err, proto.CodeBusy) {
			t.Errorf("%q in %q: %v is not %v", c.name, c.dir, err, c.is)
		}
	}
	if err := link.Command("true").Run(); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestSmallDifferences(t *testing.T) {
	link := newLink(t)
	t.Run("env without a name", func(t *testing.T) {
		cmd := link.Command("true")
		cmd.Env = []string{"A=1", "nothing"}
		if err := cmd.Run(); !errors.Is(err, proto.CodeInvalid) {
			t.Error(err)
		}
	})
	t.Run("closed file as Stdin", func(t *testing.T) {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		cmd := link.Command("cat")
		cmd.Stdin = f
		if err := cmd.Run(); !errors.Is(err, os.ErrClosed) || cmd.ProcessState != nil {
			t.Error(err)
		}
	})
	t.Run("pipes before Start", func(t *testing.T) {
		cmd := link.Command("cat")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if _, err := in.Write([]byte("x")); err == nil {
			t.Error("a write before Start")
		}
		if _, err := out.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("a read before Start: %v", err)
		}
		if err := in.Close(); err != nil { // an empty input
			t.Error(err)
		}
		if err := finish(t, "Run", cmd.Run); err != nil {
			t.Error(err)
		}
	})
	t.Run("no signal", func(t *testing.T) {
		cmd := link.Command("sleep", "600")
		if err := cmd.Signal(syscall.SIGTERM); err == nil {
			t.Error("a signal before Start")
		}
		mustStart(t, cmd)
		if err := cmd.Signal(syscall.Signal(0)); err == nil {
			t.Error("signal 0 is not asked for")
		}
		if err := cmd.SignalTo("no signal", session.ToTree); err == nil {
			t.Error("a name that is none was sent")
		}
		if err := cmd.SignalTo("NOSUCH", session.ToTree); err != nil { // the server ignores it
			t.Error(err)
		}
		if err := cmd.SignalTo("RTMIN+3", session.ToProcess); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if name, number := cmd.ProcessState.Signal(); name != "RTMIN+3" || number != 37 {
			t.Errorf("died of %s (%d)", name, number)
		}
	})
	t.Run("not made by a client", func(t *testing.T) {
		if err := (&session.Cmd{Path: "true"}).Run(); err == nil {
			t.Error("it ran")
		}
	})
}
