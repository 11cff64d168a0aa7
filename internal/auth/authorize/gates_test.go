//go:build unix

package authorize

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/account"
)

func TestGates(t *testing.T) {
	key, _ := newKey(t)
	for name, c := range map[string]struct {
		user   string
		change func(*Config)
		fake   func(*fake)
		want   string // of the error; empty: granted
	}{
		"allowed":           {"alice", nil, nil, ""},
		"another not":       {"alice", func(c *Config) { c.AllowUsers = []string{"bob"} }, nil, "not in allow_users"},
		"denied":            {"alice", func(c *Config) { c.DenyUsers = []string{"alice"} }, nil, "in deny_users"},
		"by group":          {"alice", func(c *Config) { c.AllowUsers, c.AllowGroups = nil, []string{"empty", "ops"} }, nil, ""},
		"by its own group":  {"alice", func(c *Config) { c.AllowUsers, c.AllowGroups = nil, []string{"alice"} }, nil, ""},
		"not in the group":  {"bob", func(c *Config) { c.AllowUsers, c.AllowGroups = nil, []string{"ops"} }, nil, "in no group of allow_groups"},
		"both lists, one":   {"bob", func(c *Config) { c.AllowGroups = []string{"ops"} }, nil, "in no group of allow_groups"},
		"both lists":        {"alice", func(c *Config) { c.AllowGroups = []string{"ops"} }, nil, ""},
		"denied group":      {"alice", func(c *Config) { c.DenyGroups = []string{"ops"} }, nil, "in group ops of deny_groups"},
		"denied over all":   {"alice", func(c *Config) { c.AllowGroups, c.DenyGroups = []string{"ops"}, []string{"ops"} }, nil, "deny_groups"},
		"no list":           {"alice", func(c *Config) { c.AllowUsers = nil }, nil, "neither allow_users nor allow_groups"},
		"only denials":      {"alice", func(c *Config) { c.AllowUsers, c.DenyUsers = nil, []string{"bob"} }, nil, "neither"},
		"case":              {"Alice", nil, nil, "not in allow_users"},
		"unknown":           {"ghost", nil, nil, "no such account"},
		"root":              {"root", nil, nil, "permit_root is no"},
		"root's twin":       {"toor", nil, nil, "permit_root is no"},
		"root forced":       {"root", func(c *Config) { c.PermitRoot = RootForcedOnly }, nil, "with a forced command only"},
		"root yes":          {"root", func(c *Config) { c.PermitRoot = RootYes }, nil, ""},
		"root not listed":   {"root", func(c *Config) { c.PermitRoot, c.AllowUsers = RootYes, []string{"bob"} }, nil, "not in allow_users"},
		"expired":           {"alice", nil, func(f *fake) { f.barred["alice"] = errors.New("it expired") }, "it expired"},
		"another's account": {"alice", nil, func(f *fake) { f.accounts["alice"] = f.accounts["bob"] }, "another name"},
		"own user":          {"alice", func(c *Config) { c.UID, c.AllowUsers = 1000, nil }, nil, ""},
		"own user, listed":  {"alice", func(c *Config) { c.UID, c.AllowUsers = 1000, []string{"bob"} }, nil, "not in allow_users"},
		"another user":      {"bob", func(c *Config) { c.UID, c.AllowUsers = 1000, nil }, nil, "runs as user 1000 and serves nobody else"},
		"root for a user":   {"root", func(c *Config) { c.UID, c.AllowUsers, c.PermitRoot = 1000, nil, RootYes }, nil, "serves nobody else"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			for _, home := range []string{"/home/alice", "/home/bob", "/root", "/nonexistent"} {
				f.files[home+"/.ssh/authorized_keys"] = key.String() + "\n"
			}
			if c.fake != nil {
				c.fake(f)
			}
			p := f.policy(t, c.change)
			if c.want == "" {
				granted(t, p, c.user, key)
				return
			}
			refused(t, p, c.user, key, c.want)
		})
	}
}

// TestGoneDeniedGroup has a group vanish after the start.
func TestGoneDeniedGroup(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files[aliceKeys] = key.String()
	p := f.policy(t, func(c *Config) { c.DenyGroups = []string{"bob"} })
	granted(t, p, "alice", key)
	delete(f.groups, "bob")
	refused(t, p, "alice", key, "no group bob any more")
}

// TestRootForced lets root in with a forced command, which the line or the
// certificate may have.
func TestRootForced(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files["/root/.ssh/authorized_keys"] = `command="" ` + key.String()
	p := f.policy(t, func(c *Config) { c.PermitRoot = RootForcedOnly })
	if d := granted(t, p, "root", key); d.Command == nil || d.Exact {
		t.Errorf("%+v", d)
	}
}

// TestSamePathForUnknownUsers has the same files looked for, as often.
func TestSamePathForUnknownUsers(t *testing.T) {
	key, _ := newKey(t)
	count := func(user string) int {
		f := newFake()
		p := f.policy(t, func(c *Config) { c.DenyUsers = []string{"bob"} })
		if _, err := try(t, p, user, key); err == nil {
			t.Error("it was granted")
		}
		if slices.ContainsFunc(f.read, func(path string) bool { return user != "alice" && !strings.HasPrefix(path, "/nonexistent/") }) {
			t.Errorf("%s: files of somebody were read: %q", user, f.read)
		}
		return len(f.read)
	}
	want := count("alice")
	for _, user := range []string{"ghost", "stranger", "bob", "root"} {
		if got := count(user); got != want || want != 2 {
			t.Errorf("%s: %d files, alice %d", user, got, want)
		}
	}
}

// TestNamesThatAreNotAskedFor keeps directory services out of what the lists
// decide.
func TestNamesThatAreNotAskedFor(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	p := f.policy(t, func(c *Config) { c.DenyUsers = []string{"bob"} })
	refused(t, p, "stranger", key, "not in allow_users")
	refused(t, p, "bob", key, "in deny_users")
	if len(f.asked) > 0 {
		t.Errorf("asked for %q", f.asked)
	}
}

func TestCancelled(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files[aliceKeys] = key.String()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if d, err := f.policy(t, nil).Authorize(ctx, "alice", key, remote, local); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestLookupFails(t *testing.T) {
	f := newFake()
	f.accounts["alice"] = nil
	key, _ := newKey(t)
	_, err := try(t, f.policy(t, nil), "alice", key)
	if !errors.Is(err, account.ErrNotFound) {
		t.Error(err)
	}
}
