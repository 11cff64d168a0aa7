//go:build linux || darwin || freebsd

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authorize"
)

func testAccount() *account.Account {
	return &account.Account{Name: "alice", UID: 1000, GID: 1000, Groups: []int{1000, 50}, Home: "/home/alice", Shell: "/bin/sh"}
}

// A fakeSystem has other accounts than this machine.
type fakeSystem struct{ authorize.System }

func newFakeSystem(judgeLocked bool) authorize.System { return fakeSystem{newSystem(judgeLocked)} }

func (fakeSystem) Lookup(_ context.Context, name string) (*account.Account, error) {
	switch name {
	case "alice", "bob":
		a := testAccount()
		a.Name = name
		return a, nil
	case "root":
		return &account.Account{Name: "root"}, nil
	}
	return nil, account.ErrNotFound
}

func (fakeSystem) Admissible(context.Context, *account.Account) error { return nil }

var errSSHD = errors.New("sshd is broken")

func TestNetworkOfRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config string
		sshd   authorize.SSHD
		err    error
		want   string   // of the error; empty: none
		notes  []string // in this order
	}{
		"no list":       {"", authorize.SSHD{}, nil, "must be told who may log in", nil},
		"denied only":   {"deny_users = ['eve']", authorize.SSHD{}, nil, "must be told who may log in", nil},
		"users":         {"allow_users = ['alice']", authorize.SSHD{}, nil, "", nil},
		"binding":       {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd", Binding: []string{"/c:1: \"AllowUsers a\"", "/c:7: \"Match x\""}}, nil, "/c:1: \"AllowUsers a\"\n  /c:7: \"Match x\"", nil},
		"acknowledged":  {"allow_users = ['alice']\nsshd_policy_acknowledged = true", authorize.SSHD{Program: "/sshd", Binding: []string{"/c:1:", "/c:7:"}}, nil, "", []string{"/c:1:", "/c:7:"}},
		"broken":        {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd"}, errSSHD, "cannot find out what restrictions sshd has: sshd is broken", nil},
		"broken, known": {"allow_users = ['alice']\nsshd_policy_acknowledged = true", authorize.SSHD{Program: "/sshd"}, errSSHD, "", []string{"sshd is broken"}},
		"warning":       {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd", Warning: errSSHD}, nil, "", []string{"not all"}},
		"PAM":           {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd", UsePAM: true}, nil, "", []string{"PAM"}},
		"taken":         {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd", RevokedKeys: file, TrustedUserCAKeys: file, AuthorizedKeys: []string{"/keys/%u"}}, nil, "", []string{"revoked_keys", "trusted_user_ca_keys", "/keys/%u"}},
		"own":           {fmt.Sprintf("allow_users = ['alice']\nrevoked_keys = %q\ntrusted_user_ca_keys = %[1]q\nauthorized_keys = ['none']", file), authorize.SSHD{Program: "/sshd", TrustedUserCAKeys: "/b", AuthorizedKeys: []string{"/c"}}, nil, "", nil},
		"missing":       {"allow_users = ['alice']", authorize.SSHD{Program: "/sshd", RevokedKeys: "/nonexistent"}, nil, "revoked_keys, taken from sshd: open /nonexistent", nil},
		"own missing":   {"allow_users = ['alice']\nrevoked_keys = '/nonexistent'", authorize.SSHD{}, nil, "revoked_keys: open /nonexistent", nil},
		"other revoked": {fmt.Sprintf("allow_users = ['alice']\nrevoked_keys = %q", file), authorize.SSHD{Program: "/sshd", RevokedKeys: "/a"}, nil, `RevokedKeys "/a", and revoked_keys is ` + strconv.Quote(file), nil},
		"same revoked":  {fmt.Sprintf("allow_users = ['alice']\nrevoked_keys = %q", file), authorize.SSHD{Program: "/sshd", RevokedKeys: file}, nil, "", nil},
		"doubts":        {"allow_users = ['root', 'alice', 'ghost', 'bob']\ndeny_users = ['bob']", authorize.SSHD{}, nil, "", []string{"user root err root may not log in: permit_root is no", "user ghost err no such account", "user bob err in deny_users"}},
		"group":         {"allow_groups = ['no-such-group']", authorize.SSHD{}, nil, `there is no group "no-such-group"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &settings{}
			if err := s.apply("f", []byte("listen = [':7390']\n"+c.config)); err != nil {
				t.Fatal(err)
			}
			n, err := (&host{uid: 0, system: newFakeSystem, sshd: func(context.Context) (*authorize.SSHD, error) { return &c.sshd, c.err }}).network(t.Context(), s)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != exitUsage {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil || n.policy == nil || len(n.notes) != len(c.notes) {
				t.Fatalf("%+v, %v", n, err)
			}
			for i, want := range c.notes {
				if got := strings.Trim(fmt.Sprintln(append([]any{n.notes[i].text}, n.notes[i].attrs...)...), "\n"); !strings.Contains(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
}

// TestNetworkOfOthers asks no sshd and needs no list.
func TestNetworkOfOthers(t *testing.T) {
	h := &host{uid: 1000, system: newFakeSystem, sshd: func(context.Context) (*authorize.SSHD, error) { panic("asked") }}
	s := &settings{listen: []address{{tcp: ":0"}}}
	if n, err := h.network(t.Context(), s); err != nil || n.policy == nil || len(n.notes) > 0 {
		t.Errorf("%+v, %v", n, err)
	}
	h.uid = 1001 // but alice, whose id is another, is the only one who may log in
	s.login.allowUsers = []string{"alice"}
	if n, err := h.network(t.Context(), s); err != nil || len(n.notes) != 1 || !strings.Contains(fmt.Sprint(n.notes[0].attrs...), "serves nobody else") {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestNetworkHints repeat what was typed.
func TestNetworkHints(t *testing.T) {
	s := &settings{listen: []address{{tcp: "127.0.0.1:17390"}, {path: "/run/s"}}}
	if got := s.hintAllow(); got != `add --allow-user alice to the command, or allow_users = ["alice"] in /etc/rex/rexd.toml` {
		t.Error(got)
	}
	if got := s.hintSSHD(); !strings.HasSuffix(got, " set sshd_policy_acknowledged = true in /etc/rex/rexd.toml") {
		t.Error(got)
	}
	s.file = "/my.toml"
	if got := s.hintAllow(); !strings.HasSuffix(got, " in /my.toml") {
		t.Error(got)
	}
	if got := s.hintSSHD(); !strings.HasSuffix(got, " in /my.toml") {
		t.Error(got)
	}
	for _, c := range []struct {
		exposed string
		want    string
	}{
		{t.TempDir(), "name a file that only " + userName() + " can change with revoked_keys"},
		{"", "restore the list '/a b', or name another with revoked_keys"},
	} {
		if got := hintFile(&authorize.FileError{Key: "revoked_keys", Path: "/a b", Exposed: c.exposed, Err: fs.ErrNotExist}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestDescribeLogins(t *testing.T) {
	l := &loginSettings{allowUsers: []string{"a", "b"}, denyGroups: []string{"g"}}
	if got := l.describe(0); got != "allow_users a b; deny_groups g; permit_root no" {
		t.Error(got)
	}
	if got := l.describe(1); !strings.HasPrefix(got, userName()+" (uid 1) only; allow_users a b") {
		t.Error(got)
	}
}

func TestKeySource(t *testing.T) {
	env := func(home, state string) func(string) string {
		return func(name string) string { return map[string]string{"HOME": home, "XDG_STATE_HOME": state}[name] }
	}
	l := &loginSettings{}
	for _, c := range []struct {
		uid         int
		home, state string
		want        string
	}{
		{0, "/root", "/state", "/var/lib/rex/host_ed25519_key"},
		{1000, "/home/a", "", "/home/a/.local/state/rex/host_ed25519_key"},
		{1000, "/home/a", "/state", "/state/rex/host_ed25519_key"},
		{1000, "/home/a", "state", "/home/a/.local/state/rex/host_ed25519_key"},
		{1000, "", "", ""},
	} {
		src := l.keySource(c.uid, env(c.home, c.state))
		if src.own != c.want || (len(src.usual) > 0) != (c.uid == 0) {
			t.Errorf("%+v: %+v", c, src)
		}
	}
}

func TestHostKeys(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	load := func(create bool, src keySource) []hostKey {
		t.Helper()
		keys, err := src.load(create)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	own := keySource{usual: []string{path("usual")}, own: path("state/own")}
	if keys := load(false, own); len(keys) != 0 {
		t.Errorf("made without being asked: %v", keys)
	}
	first := load(true, own)
	if again := load(true, own); len(first) != 1 || len(again) != 1 || !first[0].key.Key().Equal(again[0].key.Key()) || first[0].file != own.own {
		t.Errorf("%v, then %v", first, again)
	}
	if info, err := os.Stat(own.own); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, name := range []string{"usual", "named", "exposed"} {
		if _, err := auth.CreateHostKey(path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if keys := load(true, own); len(keys) != 1 || keys[0].file != path("usual") {
		t.Errorf("usual: %v", keys)
	}
	own.named = []string{path("named")}
	if keys := load(true, own); len(keys) != 1 || keys[0].file != path("named") {
		t.Errorf("named: %v", keys)
	}
	if err := os.Chmod(path("exposed"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		src        keySource
		want, hint string
	}{
		{keySource{}, "no host key", "ssh-keygen"},
		{keySource{named: []string{path("missing")}}, "no such file", "ssh-keygen -t ed25519"},
		{keySource{named: []string{path("exposed")}}, "access", "chmod 600 " + path("exposed")},
		{keySource{usual: []string{path("exposed")}, own: own.own}, "access", "chmod 600"},
		{keySource{named: []string{path("named"), path("usual")}}, "both of type ssh-ed25519", "one key of each type"},
		{keySource{named: []string{path("exposed.pub")}}, "", "the private key is needed: rexd --host-key " + path("exposed")},
		{keySource{named: []string{dir}}, "not a regular file", "--host-key FILE"},
	} {
		keys, err := c.src.load(true)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hintFor(err), c.hint) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, %v, hint %q", c.src, keys, err, hintFor(err))
		}
	}
	if got := hintFor(&auth.KeyFileError{Path: "/a b", Err: auth.ErrExposed}); !strings.Contains(got, "chmod 600 '/a b',") {
		t.Error(got)
	}
	denied := &auth.KeyFileError{Path: "/k", Err: fs.ErrPermission}
	if !strings.Contains(hintFor(denied), "run rexd as the owner of /k") {
		t.Error(hintFor(denied))
	}
}

func TestSocketHints(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EADDRINUSE:    "another port",
		syscall.EADDRNOTAVAIL: "does not have that address",
		syscall.EACCES:        "below 1024",
	} {
		if got := hintFor(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}); !strings.Contains(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
	if got := hintFor(&net.OpError{Op: "listen", Err: &net.DNSError{Name: "host"}}); !strings.Contains(got, "an address of this host") {
		t.Error(got)
	}
	if got := hintFor(&fs.PathError{Err: syscall.EACCES}); got != "" {
		t.Errorf("a file: %q", got)
	}
}
