//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	svc "github.com/rexec/rex/internal/service"
)

func TestServiceUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // part of the message
		hint string
		code int
	}{
		{"", "knows only run", "rexd service run --listen", exitUsage},
		{"stop", "knows only run", "rexd service run --listen", exitUsage},
		{"run", "no address to listen on", "-- tr a-z A-Z", exitUsage},
		{"run --listen 127.0.0.1:0", "no program to run", "-- tr a-z A-Z", exitUsage},
		{"run --listen 127.0.0.1:0 -- /etc/passwd", `"/etc/passwd" cannot be executed`, "ls -ld /etc/passwd", exitUsage},
		{"run --listen 127.0.0.1:0 -- /etc", `"/etc" cannot be executed`, "ls -ld /etc", exitUsage},
		{"run --listen 127.0.0.1:0 --", "no program to run", "-- tr a-z A-Z", exitUsage},
		{"run --foo", "unknown flag --foo", "service run --help", exitUsage},
		{"run --max-instances -1", `"-1" is not a number from 0 on`, "service run --help", exitUsage},
		{"run --idle 10", `"10" is not a time such as 90s or 10m`, "service run --help", exitUsage},
		{"run --idle -1s", `"-1s" is not a time`, "service run --help", exitUsage},
		{"run --max-input 1k", `"1k" is not a number from 0 on`, "service run --help", exitUsage},
		{"run --log-level loud", "is not debug, info, warn or error", "service run --help", exitUsage},
		{"run --listen 127.0.0.1:0 nonexistent-program", `no program "nonexistent-program"`, "give its path", exitUsage},
		{"run --listen 127.0.0.1:0 /nonexistent/program", `no program "/nonexistent/program"`, "give its path", exitUsage},
		{"run --listen host cat", "is not an address", "--listen 127.0.0.1:9999", exitUsage},
		{"run --listen unix:relative cat", "absolute path", "unix:/path", exitUsage},
		{"run --listen :0 cat", ":0 is not a loopback address", "--listen :0 --public", exitUsage},
		{"run --listen 0.0.0.0:99 cat", "0.0.0.0:99 is not a loopback address", "--listen 127.0.0.1:99", exitUsage},
		{"run --listen [::]:0 cat", "is not a loopback address", "--public", exitUsage},
		{"run --listen 192.0.2.1:0 cat", "is not a loopback address", "--public", exitUsage},
		{"run --listen 192.0.2.1:0 --public cat", "192.0.2.1:0: bind: ", "ip address lists", exitError},
		{"run --listen a..b:1 cat", "a..b", "name an address of this host: --listen 127.0.0.1:9999", exitError},
		{"run --listen unix:/nonexistent/s cat", "/nonexistent", "mkdir -p", exitError},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := runToEnd(t, command(t, append([]string{"service"}, strings.Fields(tt.args)...)...))
			if got.code != tt.code || got.stdout != "" {
				t.Errorf("exit %d, %q", got.code, got.stdout)
			}
			_, said, _ := strings.Cut(got.stderr, "rexd: error: ") // behind the log
			message, hint, _ := strings.Cut(said, "rexd: hint: ")
			if !strings.Contains(message, tt.want) || strings.Count(message, "\n") != 1 {
				t.Errorf("stderr %q, want %q", got.stderr, tt.want)
			}
			if !strings.Contains(hint, tt.hint) {
				t.Errorf("hint %q, want %q", hint, tt.hint)
			}
		})
	}
}

func TestServiceHelp(t *testing.T) {
	for _, args := range []string{"service --help", "service -h", "service run --help"} {
		got := runToEnd(t, command(t, strings.Fields(args)...))
		if got.code != exitOK || got.stdout != serviceUsage || got.stderr != "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
	set := (&serviceFlags{}).set()
	for line := range strings.Lines(serviceUsage) {
		name, ok := strings.CutPrefix(line, "  --")
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		if ok && name != "help" && set.Lookup(name) == nil {
			t.Errorf("--%s is no flag", name)
		}
	}
}

// 0 is no limit, and what is not given is the default.
func TestServiceLimits(t *testing.T) {
	f, err := parseServiceFlags(strings.Fields("run --listen unix:/s --max-instances 0 --idle 1m --max-output 7 --linger-idle 0 cat --idle x"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (svc.Limits{Instances: -1, Idle: time.Minute, Output: 7}); f.limits != want {
		t.Errorf("limits %+v", f.limits)
	}
	if want := (svc.Linger{Idle: -1}); f.linger != want {
		t.Errorf("linger %+v", f.linger)
	}
	if got := strings.Join(f.argv, " "); got != "cat --idle x" {
		t.Errorf("program %q", got)
	}
}

// startService starts rexd service run on a socket of TCP and on one of Unix.
func startService(t *testing.T, args ...string) (r *running, tcp string) {
	t.Helper()
	path := socketPath(t)
	r = startCommand(t, command(t, append([]string{"service", "run", "--listen", "127.0.0.1:0", "--listen", "unix:" + path}, args...)...), path)
	return r, r.logged("listening")["addr"].(string)
}

// askService returns the answer to a question.
func askService(t *testing.T, network, addr, question string) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, question)
	c.(interface{ CloseWrite() error }).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q, then %v", answer, err)
	}
	return string(answer)
}

func TestServiceRun(t *testing.T) {
	r, tcp := startService(t, "--", "tr", "a-z", "A-Z")
	for network, addr := range map[string]string{"tcp": tcp, "unix": r.path} {
		if got := askService(t, network, addr, "hello"); got != "HELLO" {
			t.Errorf("%s: %q", network, got)
		}
	}
	if fi, err := os.Lstat(r.path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", fi, err)
	}
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if ended := r.logged("connection ended"); ended["service"] != "tr" || ended["how"] != "exited" || ended["in"] != 5.0 {
		t.Errorf("log %v", ended)
	}
	if _, err := os.Lstat(r.path); err == nil {
		t.Error("the socket is left")
	}
}

// The program finds itself where rexd was started, and knows its client.
func TestServiceSurroundings(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/prog", []byte("#!/bin/sh\npwd; echo \"$MINE|$REMOTE_ADDR|$REMOTE_PORT|$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := socketPath(t)
	cmd := command(t, "service", "run", "--listen", "127.0.0.1:0", "--listen", "unix:"+path, "--", "./prog", "a b")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "MINE=1", "REMOTE_ADDR=stale", "REMOTE_PORT=stale")
	r := startCommand(t, cmd, path)
	if got := askService(t, "unix", path, ""); got != dir+"\n1|||a b\n" {
		t.Errorf("%q", got)
	}
	got := askService(t, "tcp", r.logged("listening")["addr"].(string), "")
	if !strings.HasPrefix(got, dir+"\n1|127.0.0.1|") || strings.Contains(got, "||") {
		t.Errorf("%q", got)
	}
}

// SIGTERM lets instances finish, and a second one does not.
func TestServiceSignals(t *testing.T) {
	r, tcp := startService(t, "cat")
	slow, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	slow.SetDeadline(time.Now().Add(patience))
	io.WriteString(slow, "x")
	if _, err := io.ReadFull(slow, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGTERM)
	r.waitLog("draining")
	io.WriteString(slow, "y")
	if _, err := io.ReadFull(slow, make([]byte, 1)); err != nil {
		t.Errorf("while it drains: %v", err)
	}
	r.signal(syscall.SIGTERM)
	if _, err := io.ReadAll(slow); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the second signal: %v", err)
	}
	if code := r.wait(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if ended := r.logged("connection ended"); ended["how"] != "stopped" {
		t.Errorf("log %v", ended)
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", "127.1.2.3:0": "127.1.2.3:0", "[::1]:1": "[::1]:1", "localhost:1": ":1",
		":1": "", "0.0.0.0:1": "", "[::]:1": "", "192.0.2.1:1": "", "[fe80::1]:1": "", "[::ffff:192.0.2.1]:1": "",
	} {
		got, err := loopback(addr)
		if (err == nil) != (want != "") || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
}
