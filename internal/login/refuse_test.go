//go:build unix

package login

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/transport"
)

// dialSilently dials and reports whether anything was signed, or the server
// asked about a key.
func (w *world) dialSilently(ctx context.Context) (signed bool, err error) {
	cfg := *w.cfg
	cfg.Trace = func(step string, _ time.Duration) { signed = signed || step == "sign" || step == "login" }
	c, err := Dial(ctx, &cfg)
	if err == nil {
		_ = c.Close()
	}
	return signed || len(w.attempts()) > 0, err
}

// An asker answers with what it is told to, when it was asked.
type asker func(ctx context.Context) (string, error)

func (a asker) Answer(ctx context.Context, _ string) (string, error) { return a(ctx) }

func (a asker) Passphrase(context.Context, string) ([]byte, error) { return nil, nil }

// TestHostErrorsAreNoYes: whatever goes wrong while the server is judged, it is
// not verified, and gets no signature. But for what is wrong every case would
// log in.
func TestHostErrorsAreNoYes(t *testing.T) {
	w := newWorld(t)
	w.allow(w.identity(t, "id_ed25519"))
	w.cfg.EarlyData = false
	good, good2, list := w.path("known_hosts"), w.path("known_hosts2"), w.path("revoked")
	if text, err := os.ReadFile(good); err != nil || os.WriteFile(good2, text, 0o600) != nil {
		t.Fatal(err)
	}
	newKey(t, w.path("other"))
	program(t, "ssh-keygen", "-q", "-k", "-f", list, w.path("other.pub"))
	krl, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	const broken = "/proc/self/mem" // is opened, and then the read fails
	if _, err := os.ReadFile(broken); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs a file like %s: %v", broken, err)
	}
	revoked := func(text []byte) func(*Config) {
		return func(c *Config) {
			if err := os.WriteFile(list, text, 0o600); err != nil {
				t.Fatal(err)
			}
			c.RevokedHostKeys = list
		}
	}
	for name, change := range map[string]func(*Config){
		"the read fails":            func(c *Config) { c.UserKnownHostsFiles = []string{broken, good} },
		"the second read fails":     func(c *Config) { c.UserKnownHostsFiles = []string{good, broken} },
		"the global read fails":     func(c *Config) { c.GlobalKnownHostsFiles = []string{broken} },
		"the second is a directory": func(c *Config) { c.UserKnownHostsFiles = []string{good, w.path("dir")} },
		"the global is a directory": func(c *Config) { c.GlobalKnownHostsFiles = []string{good2, w.path("dir")} },
		"below a file":              func(c *Config) { c.UserKnownHostsFiles = []string{good, good + "/x"} },
		"too large":                 func(c *Config) { c.GlobalKnownHostsFiles = []string{sparse(t, knownhosts.MaxFile+1)} },
		"a loop of links":           func(c *Config) { c.GlobalKnownHostsFiles = []string{loop(t)} },
		"no list of revoked":        func(c *Config) { c.RevokedHostKeys = w.path("none") },
		"the list's read fails":     func(c *Config) { c.RevokedHostKeys = broken },
		"the list is a directory":   func(c *Config) { c.RevokedHostKeys = w.path("dir") },
		"the list is cut off":       revoked(krl[:len(krl)-1]),
		"the list is half":          revoked(krl[:len(krl)/2]),
		"the list is its magic":     revoked(krl[:8]),
		"the list goes on":          revoked(append(slices.Clone(krl), 1, 2, 3)),
		"the list is of tomorrow":   revoked(slices.Concat(krl[:8], []byte{0, 0, 0, 2}, krl[12:])),
		"the list has no end":       revoked(slices.Concat(krl[:45], []byte{0, 0, 1, 0}, krl[49:])), // the length of its first section
		"the list is nonsense":      revoked([]byte("nonsense\n")),
	} {
		t.Run(name, func(t *testing.T) {
			before := *w.cfg
			defer func() { *w.cfg = before }()
			change(w.cfg)
			if signed, err := w.dialSilently(t.Context()); err == nil || signed {
				t.Errorf("%v, signed %v", err, signed)
			}
			if warned := w.warned(); warned != "" {
				t.Errorf("it went on: %q", warned)
			}
		})
	}
	w.cfg.UserKnownHostsFiles = []string{good, good2}
	revoked(krl)(w.cfg)
	w.dial(t)
}

func sparse(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	return path
}

func loop(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(path, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHostQuestionsThatFail: what is no answer is no yes either, even if it
// comes with one.
func TestHostQuestionsThatFail(t *testing.T) {
	lost := errors.New("the terminal is gone")
	for name, c := range map[string]struct {
		ask  func(ctx context.Context, cancel func()) (string, error)
		want error
	}{
		"error and yes":     {func(context.Context, func()) (string, error) { return "yes", lost }, lost},
		"cancelled":         {func(ctx context.Context, cancel func()) (string, error) { cancel(); return "", ctx.Err() }, context.Canceled},
		"cancelled and yes": {func(_ context.Context, cancel func()) (string, error) { cancel(); return "yes", nil }, context.Canceled},
		"both": {func(ctx context.Context, cancel func()) (string, error) {
			cancel()
			return "yes", ctx.Err()
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.allow(w.identity(t, "id_ed25519"))
			w.cfg.UserKnownHostsFiles = []string{w.path("new")}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := false
			w.cfg.Asker = asker(func(ctx context.Context) (string, error) {
				asked = true
				return c.ask(ctx, cancel)
			})
			if signed, err := w.dialSilently(ctx); !errors.Is(err, c.want) || signed || !asked {
				t.Errorf("%v, signed %v, asked %v", err, signed, asked)
			}
			if _, err := os.Stat(w.path("new")); err == nil {
				t.Error("the key was remembered")
			}
		})
	}
}

// TestHostWithoutDescriptors: a key that is revoked stays so however few
// descriptors there are, whatever cannot be opened for want of one.
func TestHostWithoutDescriptors(t *testing.T) {
	w := newWorld(t)
	w.allow(w.identity(t, "id_ed25519"))
	w.cfg.EarlyData, w.cfg.StrictHostKeyChecking, w.cfg.Log = false, StrictNo, slog.New(slog.DiscardHandler)
	for file, list := range map[string]string{"global": "@revoked * " + w.key.Key().String() + "\n", "revoked": w.key.Key().String() + "\n"} {
		if err := os.WriteFile(w.path(file), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(){ // so that each is the only one to say no
		"known hosts": func() { w.cfg.GlobalKnownHostsFiles = []string{w.path("global")} },
		"the list":    func() { w.cfg.UserKnownHostsFiles, w.cfg.RevokedHostKeys = []string{}, w.path("revoked") },
	} {
		before := *w.cfg
		change()
		for spare := range 4 {
			var signed bool
			var err error
			withDescriptors(t, spare, func() {
				var h *hosts
				if h, err = loadHosts(w.cfg); err == nil {
					err = h.verify(t.Context(), &transport.HostProof{Key: w.key.Key()})
				} else {
					signed, err = w.dialSilently(t.Context())
				}
			})
			if err == nil || signed || errors.Is(err, syscall.EMFILE) != (spare == 0) {
				t.Errorf("%s with %d: %v, signed %v", name, spare, err, signed)
			}
		}
		*w.cfg = before
	}
	w.dial(t)
}

// withDescriptors calls f while this process can open so many descriptors more.
func withDescriptors(t *testing.T, spare int, f func()) {
	t.Helper()
	next, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	lowest := next.Fd()
	_ = next.Close()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	set(&low.Cur, int(lowest)+spare)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// set is an assignment: the limits of systems differ in their type.
func set[T int64 | uint64](limit *T, n int) { *limit = T(n) }
