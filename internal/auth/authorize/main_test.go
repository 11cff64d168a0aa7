//go:build unix

package authorize

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of the fake machine.
var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

var errBroken = errors.New("broken")

// fake is a machine in memory.
type fake struct {
	accounts  map[string]*account.Account
	groups    map[string]int
	barred    map[string]error  // by user
	files     map[string]string // of users; the text "!" is an error
	own       map[string]string // the administrator's
	shells    []string
	mu        sync.Mutex
	read      []string // paths
	asked     []string // names
	strictest bool     // of the last read
}

func newFake() *fake {
	return &fake{
		accounts: map[string]*account.Account{
			"alice": {Name: "alice", UID: 1000, GID: 1000, Groups: []int{1000, 50}, Home: "/home/alice", Shell: "/bin/sh"},
			"bob":   {Name: "bob", UID: 1001, GID: 1001, Groups: []int{1001}, Home: "/home/bob", Shell: "/usr/bin/git-shell"},
			"root":  {Name: "root", UID: 0, GID: 0, Groups: []int{0}, Home: "/root", Shell: "/bin/sh"},
			"toor":  {Name: "toor", UID: 0, GID: 0, Groups: []int{0}, Home: "/root", Shell: "/bin/sh"},
		},
		groups: map[string]int{"ops": 50, "alice": 1000, "bob": 1001, "empty": 60},
		barred: map[string]error{},
		files:  map[string]string{},
		own:    map[string]string{},
		shells: []string{"/bin/sh"},
	}
}

func (f *fake) Lookup(_ context.Context, name string) (*account.Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, name)
	if a := f.accounts[name]; a != nil {
		return a, nil
	}
	return nil, account.ErrNotFound
}

func (f *fake) GroupID(name string) (int, bool) { gid, ok := f.groups[name]; return gid, ok }

func (f *fake) Admissible(_ context.Context, a *account.Account) error { return f.barred[a.Name] }

func (f *fake) UnrestrictedShell(shell string) bool {
	return len(f.shells) > 0 && f.shells[0] == shell
}

func (f *fake) ReadUserFile(_ context.Context, a *account.Account, path string, _ int64, strict bool) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read, f.strictest = append(f.read, path), strict
	return get(f.files, path)
}

func (f *fake) ReadFile(path string, _ int64) ([]byte, error) { return get(f.own, path) }

func (f *fake) Now() time.Time { return now }

func get(files map[string]string, path string) ([]byte, error) {
	switch text, ok := files[path]; {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case text == "!":
		return nil, fmt.Errorf("%s: %w", path, errBroken)
	default:
		return []byte(text), nil
	}
}

// policy makes a policy of root's, in which alice, bob and root are allowed.
func (f *fake) policy(t testing.TB, change func(*Config)) *Policy {
	t.Helper()
	cfg := Config{AllowUsers: []string{"alice", "bob", "root", "toor", "ghost"}, System: f}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	remote = netip.MustParseAddrPort("192.0.2.7:4444")
	local  = netip.MustParseAddrPort("192.0.2.1:7390")
)

// try asks the policy, and looks at what every error must be like.
func try(t testing.TB, p *Policy, user string, key *auth.Key) (*Decision, error) {
	t.Helper()
	d, err := p.Authorize(context.Background(), user, key, remote, local)
	switch {
	case (d == nil) == (err == nil):
		t.Fatalf("%+v, %v", d, err)
	case err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00"):
		t.Errorf("not one printable line: %q", err)
	}
	return d, err
}

// refused demands an error that says so.
func refused(t testing.TB, p *Policy, user string, key *auth.Key, want string) {
	t.Helper()
	if d, err := try(t, p, user, key); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %+v, %v; want an error with %q", user, d, err, want)
	}
}

func granted(t testing.TB, p *Policy, user string, key *auth.Key) *Decision {
	t.Helper()
	d, err := try(t, p, user, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newKey makes a key.
func newKey(t testing.TB) (*auth.Key, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.KeyOf(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

// An authority signs user certificates.
type authority struct {
	key    *auth.Key
	signer ssh.Signer
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, private := newKey(t)
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, signer}
}

// sign makes a certificate for alice with everything, as changed.
func (a *authority) sign(t testing.TB, change func(*ssh.Certificate)) *auth.Key {
	t.Helper()
	key, _ := newKey(t)
	public, err := ssh.ParsePublicKey(key.Blob())
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{
		Key: public, CertType: ssh.UserCert, Serial: 7, KeyId: "alice@corp", ValidPrincipals: []string{"alice"},
		ValidAfter: uint64(now.Unix() - 60), ValidBefore: uint64(now.Unix() + 60),
		Permissions: ssh.Permissions{CriticalOptions: map[string]string{}, Extensions: map[string]string{
			"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": "", "permit-X11-forwarding": "", "permit-user-rc": "",
		}},
	}
	if change != nil {
		change(cert)
	}
	if err := cert.SignCert(rand.Reader, a.signer); err != nil {
		t.Fatal(err)
	}
	k, err := auth.ParseKey(cert.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const aliceKeys = "/home/alice/.ssh/authorized_keys"
