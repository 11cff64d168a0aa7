//go:build unix

package execd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A cage is a forced command, and what escapes would leave.
type cage struct {
	handler *Handler
	login   *Login
	evil    string // the file that no request makes
}

// The command says that it was run and shows its environment.
const marker = "only this\n"

func newCage(t *testing.T, shell string) *cage {
	t.Helper()
	home := t.TempDir()
	command := "echo only this; env -0"
	c := &cage{handler: newTestHandler(t, Options{}), evil: filepath.Join(home, "evil")}
	c.login = forMe(func(l *Login) { l.Command, l.Home, l.Shell = &command, home, shell })
	return c
}

// shells are those that are here and differ in what they do with variables.
func shells() (paths []string) {
	for _, name := range []string{"sh", "bash"} {
		if path, err := exec.LookPath(name); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// check starts the request. It may be refused as malformed; what runs is the
// command, and of what was asked for it knows only SSH_ORIGINAL_COMMAND.
func (c *cage) check(t *testing.T, name string, req session.Request) {
	t.Helper()
	req.Peer.Login, req.Stdout = c.login, true
	p, err := c.handler.Start(t.Context(), &req)
	if err != nil {
		if !errors.Is(err, proto.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	out, code := finish(t, name, p)
	said, environment, _ := strings.Cut(strings.ReplaceAll(out, "\r\n", "\n"), "\n")
	if said+"\n" != marker || code != 0 {
		t.Errorf("%s: status %d, it said %q", name, code, out)
	}
	for kv := range strings.SplitSeq(environment, "\x00") {
		if strings.Contains(kv, "evil") && !strings.HasPrefix(kv, "SSH_ORIGINAL_COMMAND=") {
			t.Errorf("%s: the command got %q", name, kv)
		}
	}
	if left, _ := filepath.Glob(c.login.Home + "/*"); len(left) > 0 {
		t.Fatalf("%s: left the command, and %q behind", name, left)
	}
}

// payloads make the file evil where a shell, a loader or a parser of lines reads
// them as more than data.
func (c *cage) payloads() []string {
	touch := "touch " + c.evil
	return []string{
		"x\n" + touch + "\n", "$(" + touch + ")", "`" + touch + "`", "x;" + touch, "x|" + touch, "x&&" + touch + "&", "';" + touch + ";'", `";` + touch + `;"`,
		"() { :; }; " + touch, "-c " + touch, ">" + c.evil, "x\x00" + touch, "../../../" + c.evil, "x\r" + touch, "x=evil\nPATH=/evil",
	}
}

// fields puts a payload into each field of a request.
func fields(x string) map[string]session.Request {
	line := session.Request{IsLine: true, Line: "x"}
	with := func(change func(*session.Request)) session.Request {
		r := line
		change(&r)
		return r
	}
	return map[string]session.Request{
		"argv[0]":     {Argv: []string{x}},
		"argv[1]":     {Argv: []string{"sh", x}},
		"argv[2]":     {Argv: []string{"sh", "-c", x}},
		"path":        {Argv: []string{"x"}, Path: x},
		"line":        {IsLine: true, Line: x},
		"subsystem":   {Subsystem: x},
		"directory":   with(func(r *session.Request) { r.Dir = x }),
		"env name":    with(func(r *session.Request) { r.Env = []string{x + "=1", x} }),
		"env value":   with(func(r *session.Request) { r.Env = []string{"A=" + x, "BASH_ENV=" + x, "LC_ALL=" + x} }),
		"language":    with(func(r *session.Request) { r.Env = []string{"LANG=" + x, "NO_COLOR=" + x} }),
		"terminal":    with(func(r *session.Request) { r.Term = &session.Term{Name: x} }),
		"mode":        with(func(r *session.Request) { r.Term = &session.Term{Modes: map[string]uint32{x: 1}} }),
		"by terminal": {Argv: []string{x, x}, Term: &session.Term{Name: "xterm"}},
		"all": {
			Argv: []string{x, x}, Path: x, Dir: x, Env: []string{x + "=" + x, "SSH_ORIGINAL_COMMAND=" + x},
			Term: &session.Term{Name: x, Modes: map[string]uint32{x: 1}},
		},
	}
}

// every is of how many cases one is tried, of the seldom ones all only with
// REX_SLOW=1.
func every() int {
	switch {
	case testing.Short():
		return 15
	case os.Getenv("REX_SLOW") != "":
		return 1
	}
	return 4
}

// TestForcedCommandFields: no field of a request is more than data to a login
// whose command is forced.
func TestForcedCommandFields(t *testing.T) {
	for first, shell := range shells() {
		c := newCage(t, shell)
		for i, payload := range c.payloads() {
			if (first+i)%every() > 0 {
				continue
			}
			for name, req := range fields(payload) {
				c.check(t, fmt.Sprintf("%s: %s: %q", shell, name, payload), req)
			}
		}
	}
}

// dangerous are variables with which a client could have a shell, a loader or a
// program run something, or read and write other files than it should.
var dangerous = strings.Fields(`
	LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_DEBUG_OUTPUT LD_PROFILE_OUTPUT DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH GLIBC_TUNABLES MALLOC_TRACE
	BASH_ENV ENV SHELLOPTS BASHOPTS IFS PS1 PS4 PROMPT_COMMAND PATH CDPATH HOME SHELL USER LOGNAME MAIL GLOBIGNORE FPATH ZDOTDIR HISTFILE INPUTRC
	BASH_FUNC_echo%% BASH_FUNC_env%% BASH_FUNC_echo() BASH_XTRACEFD KSH_ENV
	PYTHONSTARTUP PYTHONPATH PYTHONHOME PYTHONINSPECT PYTHONWARNINGS PYTHONBREAKPOINT PERL5OPT PERL5LIB PERLLIB PERL5DB RUBYOPT RUBYLIB
	NODE_OPTIONS NODE_PATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH LUA_INIT PHPRC TCLLIBPATH AWKPATH
	GIT_SSH GIT_SSH_COMMAND GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_CONFIG_COUNT GIT_CONFIG_GLOBAL GIT_EXEC_PATH GIT_TEMPLATE_DIR GIT_PROXY_COMMAND
	PAGER MANPAGER LESSOPEN LESSCLOSE EDITOR VISUAL BROWSER SSH_ASKPASS RSYNC_RSH RSYNC_CONNECT_PROG MAKEFLAGS
	TMPDIR TERMINFO TERMINFO_DIRS TERMCAP TERMPATH LOCPATH GCONV_PATH NLSPATH LANGUAGE TZ TZDIR RES_OPTIONS HOSTALIASES LOCALDOMAIN
	OPENSSL_CONF OPENSSL_MODULES SSLKEYLOGFILE KRB5_CONFIG GODEBUG GOTRACEBACK
	SSH_ORIGINAL_COMMAND SSH_CONNECTION SSH_CLIENT SSH_TTY SSH_AUTH_SOCK SSH_USER_AUTH REX_CONNECTION`)

// TestForcedCommandVariables: a forced command gets none of them, whatever the
// value looks like, a few and all together.
func TestForcedCommandVariables(t *testing.T) {
	if len(dangerous) < 60 {
		t.Fatalf("only %d names", len(dangerous))
	}
	for _, shell := range shells() {
		c := newCage(t, shell)
		script := filepath.Join(t.TempDir(), "evil.sh")
		if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+c.evil+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		var all []string
		for names := range slices.Chunk(dangerous, every()) {
			var env []string
			for _, name := range names {
				env = append(env, name+"="+script, name+"=() { touch "+c.evil+"; }", name+"=$(touch "+c.evil+")")
			}
			all = append(all, env...)
			c.check(t, fmt.Sprintf("%s: %v", shell, names), session.Request{IsLine: true, Line: "x", Env: env})
		}
		c.check(t, shell+": all", session.Request{IsLine: true, Line: "x", Env: all})
		_, dropped := c.login.environment(&session.Request{Env: all}, "")
		if !slices.Equal(dropped, dangerous) {
			t.Errorf("dropped %q", dropped)
		}
	}
}
