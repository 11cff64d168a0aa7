//go:build unix

package login

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
)

// A ringTest collects keys in a home directory.
type ringTest struct {
	*Config
	ask      auth.Passphrase
	warnings []string
}

func newRingTest(t *testing.T) *ringTest {
	r := &ringTest{Config: &Config{Home: t.TempDir(), Log: slog.New(slog.DiscardHandler)}}
	if err := os.Mkdir(r.Home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	r.Warn = func(text string) { r.warnings = append(r.warnings, text) }
	return r
}

func (r *ringTest) path(name string) string { return filepath.Join(r.Home, ".ssh", name) }

// collect returns the keys as "where type-of-key", where without directories.
func (r *ringTest) collect(t *testing.T) (where []string, err error) {
	t.Helper()
	r.warnings = nil
	k := &keys{Config: r.Config, agentTime: 20 * time.Second, ask: r.ask}
	defer k.close()
	signers, err := k.collect(t.Context())
	for _, s := range signers {
		name := strings.ReplaceAll(strings.TrimSuffix(s.String(), " "+s.Key().Fingerprint()), r.Home+"/.ssh/", "")
		if s.Key().IsCert() {
			name += " cert"
		}
		where = append(where, name)
	}
	return where, err
}

func (r *ringTest) check(t *testing.T, what string, want ...string) {
	t.Helper()
	got, err := r.collect(t)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %q, %v; want %q", what, got, err, want)
	}
}

// The order is ssh's, without a key twice.
func TestKeyOrder(t *testing.T) {
	r := newRingTest(t)
	ca := r.path("ca")
	newKey(t, ca)
	// ssh-add names what it adds by the comment in the file.
	for _, name := range []string{"id_ed25519", "id_rsa", "agent1", "agent2", "both"} {
		program(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", r.path(name))
	}
	r.check(t, "files", "id_ed25519", "id_rsa")
	r.IdentityFiles = []string{r.path("id_rsa")}
	r.check(t, "one file", "id_rsa")

	r.AuthSock = startAgent(t, r.path("agent1"), r.path("both"), r.path("agent2"))
	r.check(t, "agent first", "agent: agent1", "agent: both", "agent: agent2", "id_rsa")
	r.IdentityFiles = []string{r.path("id_rsa"), r.path("both")}
	r.check(t, "named and held", "agent: both", "agent: agent1", "agent: agent2", "id_rsa")
	r.IdentitiesOnly = true
	r.check(t, "only", "agent: both", "id_rsa")
	r.IdentityFiles = []string{r.path("agent2") + ".pub"}
	r.check(t, "public half", "agent: agent2")
	os.Remove(r.path("agent1"))
	r.IdentityFiles = []string{r.path("agent1")}
	r.check(t, "public half beside", "agent: agent1")
	r.IdentitiesOnly = false

	for _, none := range []string{"none", r.path("nobody-listens")} {
		r.IdentityAgent, r.IdentityFiles = none, []string{r.path("both")}
		r.check(t, "no agent", "both")
	}
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "nobody-listens") {
		t.Errorf("warned of %q", r.warnings)
	}
	r.IdentityAgent = r.AuthSock
	r.AuthSock = ""
	r.check(t, "agent by its path", "agent: both", "agent: agent1", "agent: agent2")

	// Certificates.
	sign(t, ca, r.path("both"))
	r.check(t, "certificate beside", "agent: both cert", "agent: both", "agent: agent1", "agent: agent2")
	sign(t, ca, r.path("agent2"))
	r.CertificateFiles = []string{r.path("agent2-cert.pub")}
	r.check(t, "certificate by name", "agent: agent2 cert", "agent: both cert", "agent: both", "agent: agent1", "agent: agent2")
	r.IdentitiesOnly = true
	r.check(t, "certificate by name, only", "agent: agent2 cert", "agent: both cert", "agent: both")
	r.IdentityAgent = "none"
	r.check(t, "without the agent its certificate is of no use", "both cert", "both")
}

// A certificate in the agent comes before its key, and once.
func TestAgentCertificates(t *testing.T) {
	r := newRingTest(t)
	newKey(t, r.path("ca"))
	program(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "k", "-f", r.path("id_rsa"))
	sign(t, r.path("ca"), r.path("id_rsa"))
	r.AuthSock = startAgent(t, r.path("id_rsa")) // with the certificate
	r.check(t, "both", "agent: k cert", "agent: k")
	r.IdentitiesOnly = true
	r.check(t, "only", "agent: k cert", "agent: k")
	r.IdentityFiles = []string{r.path("ca")}
	r.check(t, "another", "ca")
}

// What cannot be used is said and skipped.
func TestKeysThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
		is    error
	}{
		"exposed":   {func(t *testing.T, p string) { os.Chmod(p, 0o644) }, "mode is 0644", auth.ErrExposed},
		"garbage":   {func(t *testing.T, p string) { os.WriteFile(p, []byte("x\x1b[2J"), 0o600) }, "not a private key", nil},
		"empty":     {func(t *testing.T, p string) { os.Truncate(p, 0) }, "not a private key", nil},
		"directory": {func(t *testing.T, p string) { os.Remove(p); os.Mkdir(p, 0o700) }, "regular", nil},
		"dangling":  {func(t *testing.T, p string) { os.Remove(p); os.Symlink(p+"x", p) }, "no such file", fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRingTest(t)
			newKey(t, r.path("good"))
			newKey(t, r.path("bad"))
			os.Remove(r.path("bad.pub"))
			c.spoil(t, r.path("bad"))
			r.IdentityFiles = []string{r.path("bad"), r.path("good")}
			r.check(t, name, "good")
			if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], c.want) || strings.Contains(r.warnings[0], "\x1b") {
				t.Errorf("warned of %q", r.warnings)
			}
			r.IdentityFiles = r.IdentityFiles[:1]
			_, err := r.collect(t)
			none, ok := errors.AsType[*NoKeysError](err)
			if !ok || !errors.Is(err, transport.ErrNoKeys) || len(none.Skipped) != 1 || c.is != nil && !errors.Is(none.Skipped[0], c.is) {
				t.Errorf("got %v", err)
			}
			if len(r.warnings) != 0 {
				t.Errorf("what the error says was warned of as well: %q", r.warnings)
			}
		})
	}
}

// Of the default files those that are missing are none of the user's business.
func TestNoKeysAtAll(t *testing.T) {
	r := newRingTest(t)
	_, err := r.collect(t)
	if none, ok := errors.AsType[*NoKeysError](err); !ok || len(none.Skipped) != 0 || len(r.warnings) != 0 {
		t.Errorf("%v, %q", err, r.warnings)
	}
	r.Home = ""
	if _, err := r.collect(t); !errors.Is(err, transport.ErrNoKeys) {
		t.Errorf("without a home: %v", err)
	}
}

func TestBadCertificates(t *testing.T) {
	r := newRingTest(t)
	newKey(t, r.path("id_rsa"))
	newKey(t, r.path("other"))
	newKey(t, r.path("ca"))
	os.WriteFile(r.path("id_rsa-cert.pub"), []byte("rubbish\n"), 0o600)
	sign(t, r.path("ca"), r.path("other"))
	r.CertificateFiles = []string{r.path("missing"), r.path("id_rsa.pub"), r.path("other-cert.pub")}
	r.check(t, "bad certificates", "id_rsa")
	if len(r.warnings) != 3 {
		t.Errorf("warned of %q", r.warnings)
	}
}

// A key with a passphrase is offered without it.
func TestPassphraseIsNotAskedEarly(t *testing.T) {
	r := newRingTest(t)
	program(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", r.path("id_ed25519"))
	r.ask = func(context.Context, string) ([]byte, error) {
		t.Error("asked")
		return nil, nil
	}
	r.check(t, "locked", "id_ed25519")
}

// An agent that hangs, ends or lies is as none.
func TestBadAgents(t *testing.T) {
	release := make(chan struct{})
	for name, talk := range map[string]func(net.Conn){
		"hangs":     func(net.Conn) { <-release },
		"ends":      func(net.Conn) {},
		"lies":      func(c net.Conn) { c.Write([]byte("\xff\xff\xff\xffx")) },
		"babbles":   func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n") },
		"bad list":  func(c net.Conn) { c.Write([]byte{0, 0, 0, 5, 12, 0xff, 0xff, 0xff, 0xff}) },
		"half list": func(c net.Conn) { c.Write([]byte{0, 0, 0, 9, 12, 0, 0}) },
	} {
		r := newRingTest(t)
		newKey(t, r.path("id_rsa"))
		r.AuthSock = fakeAgent(t, talk)
		k := &keys{Config: r.Config, agentTime: 20 * time.Second}
		if name == "hangs" {
			k.agentTime = 50 * time.Millisecond
			t.Cleanup(func() { close(release) })
		}
		signers, err := k.collect(t.Context())
		k.close()
		if err != nil || len(signers) != 1 || len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "agent") {
			t.Errorf("%s: %v, %v, %q", name, signers, err, r.warnings)
		}
		if !strings.HasPrefix(r.warnings[0], "agent "+r.AuthSock+": ") || strings.Contains(r.warnings[0], "deadline") {
			t.Errorf("%s: warned of %q", name, r.warnings)
		}
	}
}

// The context ends the wait for an agent, and the login.
func TestAgentHangsUntilTheContextEnds(t *testing.T) {
	w := newWorld(t)
	w.identity(t, "id_ed25519")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	w.cfg.AuthSock = fakeAgent(t, func(c net.Conn) {
		c.Read(make([]byte, 5))
		cancel(enough)
		c.Read(make([]byte, 1))
	})
	if _, err := Dial(ctx, w.cfg); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}
