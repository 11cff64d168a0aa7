//go:build unix

package authorize

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rexec/rex/internal/account"
)

func TestReadFile(t *testing.T) {
	m, dir := NewMachine(false), t.TempDir()
	write := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("text"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		limit int64
		want  string // of the error
	}{
		{write("own", 0o600), 4, ""},
		{write("readable", 0o644), 4, ""},
		{write("group", 0o664), 4, "others may write it"},
		{write("all", 0o602), 4, "others may write it"},
		{write("big", 0o600), 3, "too large"},
		{dir, 4, "not a regular file"},
		{fifo, 4, "not a regular file"},
		{dir + "/missing", 4, "no such file"},
	} {
		data, err := m.ReadFile(c.path, c.limit)
		if c.want == "" && (err != nil || string(data) != "text") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v; want %q", c.path, data, err, c.want)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	path := write("foreign", 0o600)
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadFile(path, 4); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Error(err)
	}
}

// me is who runs the tests.
func me(t *testing.T) *account.Account {
	t.Helper()
	a, err := account.LookupUID(t.Context(), os.Geteuid())
	if err != nil {
		t.Skip("this user has no account:", err)
	}
	return a
}

func isUnsafe(err error) bool {
	_, ok := errors.AsType[*account.UnsafeFileError](err)
	return ok
}

func TestReadUserFile(t *testing.T) {
	m, a := NewMachine(false), *me(t)
	a.Home = t.TempDir()
	path := filepath.Join(a.Home, "keys")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(a.Home, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, strict := range []bool{true, false} {
		if _, err := m.ReadUserFile(t.Context(), &a, fifo, 4, strict); !isUnsafe(err) {
			t.Errorf("strict %v, FIFO: %v", strict, err)
		}
		if _, err := m.ReadUserFile(t.Context(), &a, "/dev/zero", 4, strict); !isUnsafe(err) {
			t.Errorf("strict %v, endless: %v", strict, err)
		}
		if data, err := m.ReadUserFile(t.Context(), &a, path, 4, strict); err != nil || string(data) != "text" {
			t.Errorf("strict %v: %q, %v", strict, data, err)
		}
		if _, err := m.ReadUserFile(t.Context(), &a, path+"x", 4, strict); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("strict %v, missing: %v", strict, err)
		}
		if _, err := m.ReadUserFile(t.Context(), &a, path, 3, strict); !errors.Is(err, account.ErrTooLarge) {
			t.Errorf("strict %v, too large: %v", strict, err)
		}
		if _, err := m.ReadUserFile(t.Context(), &a, a.Home, 3, strict); err == nil {
			t.Errorf("strict %v: a directory was read", strict)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadUserFile(t.Context(), &a, path, 4, true); err == nil {
		t.Error("strict: it was read")
	}
	if _, err := m.ReadUserFile(t.Context(), &a, path, 4, false); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range cap(m.lax) {
		m.lax <- struct{}{}
	}
	if _, err := m.ReadUserFile(ctx, &a, path, 4, false); !errors.Is(err, context.Canceled) {
		t.Errorf("with all places taken: %v", err)
	}
}

// TestReadUserFileAsUser reads with the rights of another.
func TestReadUserFileAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs as root")
		}
		t.Skip("needs root")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := &account.Account{Name: "nobody", UID: 65534, GID: 65534, Home: filepath.Dir(path)}
	for _, strict := range []bool{true, false} {
		if data, err := NewMachine(false).ReadUserFile(t.Context(), nobody, path, 10, strict); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("strict %v: %q, %v", strict, data, err)
		}
	}
}

// TestMachine logs the user of this process in, with the files of this machine.
func TestMachine(t *testing.T) {
	a := me(t)
	dir := t.TempDir()
	key, _ := newKey(t)
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := NewMachine(false)
	if err := m.Admissible(t.Context(), a); err != nil {
		t.Skip("this user may not log in:", err)
	}
	p, err := New(Config{
		AllowUsers: []string{a.Name}, PermitRoot: RootYes, UID: os.Geteuid(), AuthorizedKeys: []string{keys}, LaxModes: true, System: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := try(t, p, a.Name, key)
	if err != nil || d.Account.UID != os.Geteuid() || d.Source != keys+":1" || d.Exact != m.UnrestrictedShell(a.Shell) {
		t.Errorf("%+v, %v", d, err)
	}
	refused(t, p, "no-such-user", key, "not in allow_users")
	if gid, ok := m.GroupID("no such group"); ok || m.Now().IsZero() {
		t.Error(gid)
	}
}
