//go:build linux || darwin || freebsd

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/internal/transport"
)

// refusing is a server on the network that refuses everybody, for questions
// that come before that. It returns its port.
func refusing(t *testing.T) string {
	t.Helper()
	key, err := auth.CreateHostKey(filepath.Join(t.TempDir(), "host"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenTCP(t.Context(), "127.0.0.1:0", &transport.TCPListenOptions{
		HostKeys: []*auth.HostKey{key}, Authorizer: nobody{},
	})
	if err != nil {
		t.Fatal(err)
	}
	listentest.Serve(t, l, func(c net.Conn) { _ = c.(*transport.ServerConn).Handshake(t.Context()) })
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// Questions are asked on the terminal, and a program that is interrupted there
// leaves it as it was.
func TestQuestions(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	port := refusing(t)
	for name, c := range map[string]struct {
		talk func(r *running)
		want string
		said string
	}{
		"no":         {func(r *running) { r.types("maybe\rno\r") }, "255", "it was not accepted"},
		"interrupt":  {func(r *running) { r.types("\x03") }, "INT", ""},
		"terminate":  {func(r *running) { r.signal(syscall.SIGTERM) }, "TERM", ""},
		"passphrase": {func(r *running) { r.types("yes\r"); r.see("passphrase for "); r.types("secret\r") }, "255", "permission denied"},
		"wrong": {func(r *running) {
			r.types("yes\r")
			r.see("passphrase for ")
			r.types("wrong\r")
			r.see("that was wrong; passphrase for ")
			r.types("\r")
		}, "255", "the passphrase is wrong"},
		"end of input": {func(r *running) {
			r.types("\r")
			r.see("type yes, no or the fingerprint: ")
			r.types("\x04")
			r.see("\r\nrex: error: ")
		}, "255", "it was not accepted"},
		"interrupt without echo": {func(r *running) {
			r.types("yes\r")
			r.see("passphrase for ")
			until(r.t, "no echo", func() bool { return echoes(r) == "-echo" })
			r.types("sec\x03")
		}, "INT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			key := filepath.Join(home, "key")
			if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "secret", "-a", "1", "-f", key).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			known := filepath.Join(home, "known_hosts")
			rex := newTerminal(t, "rex", "-i", key, "-oIdentityAgent=none", "-oGlobalKnownHostsFile=none", "-oUserKnownHostsFile="+known,
				"-oConnectTimeout=30", "-p", port, "127.0.0.1", "id")
			before := rex.mode()
			rex.launch()
			rex.see("(yes/no/[fingerprint])? ")
			c.talk(rex)
			rex.ends(c.want)
			if after := rex.mode(); after != before {
				t.Errorf("the terminal is %s, was %s", after, before)
			}
			if c.said != "" {
				rex.see(c.said)
			}
			if text := rex.out.String(); strings.Contains(text, "secret") {
				t.Errorf("the passphrase was shown:\n%s", text)
			}
		})
	}
}

// echoes is stty's word for whether the terminal shows what is typed.
func echoes(r *running) string {
	stty := exec.Command("stty", "-a")
	stty.Stdin = r.tty
	out, _ := stty.Output()
	for _, word := range strings.Fields(string(out)) {
		if word == "echo" || word == "-echo" {
			return word
		}
	}
	return ""
}

// nobody may log in.
type nobody struct{}

func (nobody) Authorize(context.Context, *transport.Attempt) (*transport.Grant, error) {
	return nil, errors.New("nobody may")
}
