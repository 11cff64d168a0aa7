//go:build linux || darwin || freebsd

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rexec/rex/internal/daemon"
)

// TestMain lets this test be the programs that it tests, by the name it is
// called: rex, rexd, and slogin, which rex is for programs that know ssh only.
// As exe it is one of them that has executed itself through /proc/self/exe.
func TestMain(m *testing.M) {
	if strings.HasSuffix(os.Args[0], ".test") {
		heedSignals()
	}
	testscript.Main(m, map[string]func(){"rex": main, "rexd": rexd, "slogin": main, "exe": again})
}

// heedSignals makes the programs under test start with the dispositions of a
// terminal's, though the tests run under nohup: what is caught here is the
// default there.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

func rexd() {
	os.Exit(daemon.Main(daemon.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Self: []string{"/proc/self/exe"},
	}))
}

func again() {
	if len(os.Args) > 1 && os.Args[1] == "--rexd" {
		main()
	}
	rexd()
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":   exitcode,
			"eventually": eventually,
			"status":     status,
		},
	})
}

// setup gives a script a private directory for sockets, with a name short
// enough for one.
func setup(env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "rex")
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(dir) })
	env.Setenv("SOCK", filepath.Join(dir, "s"))
	env.Setenv("GORACE", raceOptions)
	env.Setenv("TERM", "vt100")
	env.Setenv("SHELL", "/bin/sh")
	return nil
}

// exitcode runs a program and checks how it ends: exitcode 127 program args...,
// or exitcode INT program args... for a signal.
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode status program [args...]")
	}
	if got := ending(ts.Exec(args[1], args[2:]...)); got != args[0] {
		ts.Fatalf("%s ended with %s, want %s", args[1], got, args[0])
	}
}

// ending is how a program ended, as exitcode takes it.
func ending(err error) string {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return "0"
	case !ok:
		return err.Error()
	}
	wait := exit.Sys().(syscall.WaitStatus)
	if wait.Signaled() {
		return map[syscall.Signal]string{syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGPIPE: "PIPE"}[wait.Signal()]
	}
	return strconv.Itoa(wait.ExitStatus())
}

// eventually runs a program until it succeeds: eventually program args...
// With ! until it fails.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: eventually program [args...]")
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err := ts.Exec(args[0], args[1:]...); (err == nil) != neg {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not within %v: %s", patience, strings.Join(args, " "))
		}
	}
}

// status checks a member of a status file: status file member value. The value
// of a member that is missing is empty.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: status file member value")
	}
	if got := member(ts.ReadFile(args[0]), args[1]); got != args[2] {
		ts.Fatalf("%s is %s, want %s", args[1], got, args[2])
	}
}
