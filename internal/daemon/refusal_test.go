//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
)

// keygen runs ssh-keygen.
func keygen(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if out, err := exec.Command(path, append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
	}
}

// TestRefusalOfEachKey: a certificate that expired and its plain key, which is
// asked about last and is unknown.
func TestRefusalOfEachKey(t *testing.T) {
	dir := t.TempDir()
	ca, id := filepath.Join(dir, "ca"), filepath.Join(dir, "id")
	for _, path := range []string{ca, id} {
		keygen(t, "-t", "ed25519", "-N", "", "-f", path)
	}
	keygen(t, "-s", ca, "-I", "id", "-n", userName(), "-V", "20200101:20200102", id+".pub")
	authority, err := auth.LoadPublicKey(ca + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := auth.OpenIdentity(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := auth.LoadCertificate(id + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	certified, err := auth.WithCertificate(plain, cert)
	if err != nil {
		t.Fatal(err)
	}
	other := newSigner(t)
	n := startNetwork(t, "cert-authority "+authority.String(), `from="192.0.2.1" `+other.Key().String())
	if _, err := n.login(t, userName(), other, certified, plain); !errors.As(err, new(*transport.RefusedError)) {
		t.Fatal(err)
	}
	record := n.waitLog("login refused")
	text := fmt.Sprint(record["err"])
	for _, want := range []string{
		"key " + other.Key().Fingerprint() + ": no authorized_keys line counts: " + n.keys + ":2: from: no pattern matches 127.0.0.1",
		"; certificate " + plain.Key().Fingerprint() + ": no authorized_keys line counts: " + n.keys + ":1: user certificate: expired at 2020-01-0",
		"; key " + plain.Key().Fingerprint() + ": no authorized_keys line counts: it is not in " + n.keys,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nis not in\n%s", want, text)
		}
	}
	if keys := other.Key().Fingerprint() + "," + plain.Key().Fingerprint(); record["key"] != keys || record["user"] != userName() || strings.Contains(text, fmt.Sprint(record["peer"])) {
		t.Errorf("who: %v", record)
	}
	n.stop()
	n.wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := strings.Count(strings.Join(n.lines, "\n"), "login refused"); got != 1 {
		t.Errorf("%d lines about it", got)
	}
}

// TestClientLeaves is a client whose user does not want that host.
func TestClientLeaves(t *testing.T) {
	n := startNetwork(t)
	no := errors.New("another host")
	_, err := transport.DialTCP(t.Context(), "127.0.0.1", n.port, &transport.TCPOptions{
		User: "alice", Signers: []auth.Signer{newSigner(t)}, AwaitVerdict: true,
		VerifyHost: func(context.Context, *transport.HostProof) error { return no },
	})
	if !errors.Is(err, no) {
		t.Fatal(err)
	}
	if record := n.waitLog("the client left before it logged in"); !strings.HasPrefix(fmt.Sprint(record["peer"]), "127.0.0.1:") || record["err"] != nil {
		t.Error(record)
	}
}
