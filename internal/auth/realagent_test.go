package auth

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startAgent runs ssh-agent until the test ends and returns its socket.
func startAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent")
	cmd := exec.Command(program(t, "ssh-agent"), "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; {
		a, err := DialAgent(t.Context(), socket)
		if err == nil {
			a.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	t.Setenv("SSH_AUTH_SOCK", socket)
	return socket
}

func dial(t *testing.T, socket string) *Agent {
	t.Helper()
	a, err := DialAgent(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestRealAgent(t *testing.T) {
	socket := startAgent(t)
	ca := keygen(t, "-t", "ed25519")
	var want []string
	for _, args := range [][]string{
		{"-t", "ed25519"},
		{"-t", "ecdsa", "-b", "256"},
		{"-t", "ecdsa", "-b", "384"},
		{"-t", "ecdsa", "-b", "521"},
		{"-t", "rsa", "-b", "2048"},
	} {
		path := keygen(t, args...)
		run(t, "", "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", "alice", path+".pub")
		run(t, "", "ssh-add", "-q", path) // the key and its certificate
		for _, name := range []string{path + ".pub", path + "-cert.pub"} {
			k, err := LoadPublicKey(name)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, k.String())
		}
	}
	signers, err := dial(t, socket).Signers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range signers {
		got = append(got, s.Key().String())
		st := statement(t, s.Key())
		sig, err := s.Sign(t.Context(), st)
		if err != nil {
			t.Errorf("%s: %v", s.Key().Type(), err)
			continue
		}
		if err := st.Verify(sig, VerifyOptions{}); err != nil {
			t.Errorf("%s: %v", s.Key().Type(), err)
		}
		if s.String() != "agent: a comment "+s.Key().Fingerprint() {
			t.Error(s)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("listed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A key that may be used for some destinations only does not sign for others,
// and rex is one.
func TestConstrainedKey(t *testing.T) {
	socket := startAgent(t)
	host, user := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ed25519")
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	write(t, hosts, "web1 "+read(t, host+".pub"), 0o600)
	run(t, "", "ssh-add", "-q", "-H", hosts, "-h", "web1", user)
	s := onlySigner(t, dial(t, socket))
	_, err := s.Sign(t.Context(), statement(t, s.Key()))
	if !errors.Is(err, ErrAgentRefused) {
		t.Error(err)
	}
	wantError(t, err, "constrained to destinations")
}

func TestAgentVanishes(t *testing.T) {
	socket := startAgent(t)
	run(t, "", "ssh-add", "-q", keygen(t, "-t", "ed25519"))
	a := dial(t, socket)
	s := onlySigner(t, a)
	run(t, "", "ssh-add", "-q", "-D")
	if _, err := s.Sign(t.Context(), statement(t, s.Key())); !errors.Is(err, ErrAgentRefused) {
		t.Errorf("a key that is gone: %v", err)
	}
	if signers, err := a.Signers(t.Context()); err != nil || len(signers) != 0 {
		t.Errorf("an empty agent: %v, %v", signers, err)
	}
	a.Close()
	_, err := s.Sign(t.Context(), statement(t, s.Key()))
	wantError(t, err, "agent "+a.socket+": ")
}
