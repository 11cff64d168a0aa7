//go:build unix

package login

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
)

// One key needs no question and no verdict.
func TestDialWithOneKey(t *testing.T) {
	w := newWorld(t)
	key := w.identity(t, "id_ed25519")
	w.allow(key)
	var steps []string
	w.cfg.Trace = func(step string, _ time.Duration) { steps = append(steps, step) }
	c, err := Dial(t.Context(), w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if slices.Contains(steps, "verdict") {
		t.Errorf("it waited for the verdict: %q", steps)
	}
	greeted(t, c)
	if want := []string{"connect", "tls", "host", "sign", "login", "verdict"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if tried := w.attempts(); len(tried) != 1 {
		t.Errorf("tried %q", tried)
	}
	if !c.Host.Key.Equal(w.key.Key()) || !c.Key.Equal(key) || c.RTT <= 0 {
		t.Errorf("%+v", c.TCPConn)
	}
}

// The key that worked is remembered, tried first, and forgotten when it does
// not work any more, whoever waits for the verdict.
func TestRememberedKey(t *testing.T) {
	for _, early := range []bool{true, false} {
		w := newWorld(t)
		w.cfg.EarlyData = early
		first, second := w.identity(t, "id_ed25519"), w.identity(t, "id_rsa")
		w.allow(second)
		w.dial(t)
		if tried := w.attempts(); !slices.Contains(tried, mark(first)) {
			t.Errorf("did not negotiate: %q", tried)
		}
		w.allow(second)
		w.dial(t)
		if tried := w.attempts(); !slices.Equal(tried, []string{mark(second)}) {
			t.Errorf("did not remember: %q", tried)
		}

		// The server now takes the other key only.
		w.allow(first)
		c, err := Dial(t.Context(), w.cfg)
		if early {
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Read(make([]byte, 1))
			c.Close()
			if refusal := c.Refused(err); refusal == nil || len(refusal.Keys) != 1 {
				t.Errorf("the read gave %v", err)
			}
			if c.Again(io.EOF) || !c.Again(err) || c.Again(err) {
				t.Error("there is a reason to try again, once")
			}
			c.Accepted() // changes nothing
			c, err = Dial(t.Context(), w.cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
		greeted(t, c)
		c.Close()
		if !c.Key.Equal(first) {
			t.Error("logged in with another key")
		}
		w.allow(first)
		w.dial(t)
		if tried := w.attempts(); !slices.Equal(tried, []string{mark(first)}) {
			t.Errorf("did not remember the new one: %q", tried)
		}
	}
}

// Where something may be consumed before the verdict, a remembered key waits for
// it; a single one need not, as there is nothing else to try.
func TestStdinUnsafe(t *testing.T) {
	w := newWorld(t)
	w.cfg.StdinSafe = false
	first, second := w.identity(t, "id_ed25519"), w.identity(t, "id_rsa")
	w.allow(first, second)
	w.dial(t)
	w.allow(second)
	c, err := Dial(t.Context(), w.cfg) // the remembered first is refused inside
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if tried := w.attempts(); tried[0] != mark(first) || !c.Key.Equal(second) {
		t.Errorf("tried %q", tried)
	}
	greeted(t, c)
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	w.identity(t, "id_ed25519")
	for i, want := range []string{"permission denied (public key); 1 key was tried", "2 keys were tried"} {
		c, err := Dial(t.Context(), w.cfg)
		if err == nil { // a single key
			_, err = c.Read(make([]byte, 1))
			c.Close()
			if c.Again(err) {
				t.Error("there is nothing else to try")
			}
			err = c.Refused(err)
		}
		refusal, ok := errors.AsType[*DeniedError](err)
		if !ok || len(refusal.Keys) != i+1 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), w.path("id_ed25519")) {
			t.Errorf("got %v", err)
		}
		if i == 0 {
			w.identity(t, "id_rsa")
		}
	}
	if _, err := os.Stat(w.cfg.CacheDir); err == nil {
		t.Error("something was remembered")
	}
}

func TestDialWithPassphrase(t *testing.T) {
	w := newWorld(t)
	path := w.path("id_ed25519")
	program(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", path)
	key, err := auth.LoadPublicKey(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	w.allow(key)

	// Nobody to ask, and nothing else to try.
	_, err = Dial(t.Context(), w.cfg)
	if _, ok := errors.AsType[*transport.SignError](err); !ok || !errors.Is(err, auth.ErrPassphrase) {
		t.Errorf("got %v", err)
	}
	if _, ok := errors.AsType[*auth.KeyFileError](err); !ok || strings.Count(err.Error(), path) != 1 || !strings.HasSuffix(err.Error(), "nobody to ask") {
		t.Errorf("the file is not named once: %v", err)
	}
	s := &script{answers: []string{"wrong", "secret"}}
	w.cfg.Asker = s
	w.dial(t)
	if len(s.asked) != 2 || !strings.HasPrefix(s.asked[0], "passphrase for "+path) || s.asked[1] != "that was wrong; "+s.asked[0] {
		t.Errorf("asked %q", s.asked)
	}
	s.answers, s.asked, w.cfg.PassphraseTries = []string{"wrong"}, nil, 1
	if _, err := Dial(t.Context(), w.cfg); !errors.Is(err, auth.ErrPassphrase) || len(s.asked) != 1 || !strings.HasSuffix(err.Error(), "is wrong") {
		t.Errorf("%v, asked %q", err, s.asked)
	}
	s.err = errors.New("the terminal is gone")
	if _, err := Dial(t.Context(), w.cfg); !errors.Is(err, s.err) {
		t.Errorf("got %v", err)
	}

	// A key that cannot sign is left out, and the login goes on with the others.
	other := w.identity(t, "id_rsa")
	w.allow(key, other)
	w.cfg.Asker = nil
	w.dial(t)
	if warned := w.warned(); !strings.Contains(warned, "cannot sign with "+path) {
		t.Errorf("warned of %q", warned)
	}
}

// An agent that ends between its list and a signature.
func TestAgentVanishes(t *testing.T) {
	w := newWorld(t)
	held, own := newKey(t, filepath.Join(t.TempDir(), "held")).Key(), w.identity(t, "id_rsa")
	list := []byte{12, 0, 0, 0, 1, 0, 0, 0, byte(len(held.Blob()))}
	list = append(append(list, held.Blob()...), 0, 0, 0, 4)
	list = append(list, "\x1b[2J"...)
	answers := map[string]func(net.Conn){
		"ends":  func(net.Conn) {},
		"fails": func(c net.Conn) { c.Write([]byte{0, 0, 0, 1, 5}) },
		"lies":  func(c net.Conn) { c.Write([]byte{0, 0, 0, 5, 14, 0, 0, 0, 0}) },
	}
	for name, answer := range answers {
		w.cfg.AuthSock = fakeAgent(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.Write(append([]byte{0, 0, 0, byte(len(list))}, list...))
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				answer(c)
			}
		})
		w.cfg.CacheDir = "" // the key that works would be tried first
		w.allow(held, own)
		w.dial(t)
		if warned := w.warned(); !strings.Contains(warned, "cannot sign with agent") || strings.Contains(warned, "\x1b") {
			t.Errorf("%s: warned of %q", name, warned)
		}
		w.allow(held)
		w.cfg.EarlyData = false // what is left is one key, which is not asked about
		if _, err := Dial(t.Context(), w.cfg); err == nil {
			t.Errorf("%s: logged in", name)
		}
		w.cfg.EarlyData = true
	}
}

func TestDialWithAgentAndCertificate(t *testing.T) {
	w := newWorld(t)
	newKey(t, w.path("ca"))
	w.identity(t, "id_ed25519")
	cert := sign(t, w.path("ca"), w.path("id_ed25519"))
	w.cfg.EarlyData = false
	for _, sock := range []string{"", startAgent(t, w.path("id_ed25519"))} {
		w.cfg.AuthSock = sock
		w.allow(cert)
		c := w.dial(t)
		if !c.Key.Equal(cert) {
			t.Errorf("used %s", c.Key.Type())
		}
		// When the certificate is no longer good for it, its key may be.
		w.allow(cert.Plain())
		if c := w.dial(t); !c.Key.Equal(cert.Plain()) {
			t.Errorf("used %s", c.Key.Type())
		}
	}
}

// A question that takes longer than a server waits is followed by another
// connection, without being asked again.
func TestPassphraseThatTakesLong(t *testing.T) {
	w := newWorld(t)
	d := &dialer{Config: *w.cfg, asked: askedLong + 1}
	refused := &transport.RefusedError{}
	if !d.goOn(nil) || !d.goOn(os.ErrDeadlineExceeded) || d.goOn(refused) {
		t.Error("the connection is as good as gone, unless it has answered")
	}
	d.asked = askedLong
	if d.goOn(nil) || d.goOn(os.ErrDeadlineExceeded) {
		t.Error("there is no reason to go on")
	}
}

func TestDialChecks(t *testing.T) {
	w := newWorld(t)
	w.identity(t, "id_ed25519")
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Host = "" }, "no host"},
		{func(c *Config) { c.Host = "-oProxyCommand=x" }, "begins with '-'"},
		{func(c *Config) { c.Host = "a b" }, "forbidden"},
		{func(c *Config) { c.Host = "\x1b[2J" }, "forbidden"},
		{func(c *Config) { c.Host = "a\u009bb" }, "forbidden"},
		{func(c *Config) { c.Host = "1:2:x" }, "no address"},
		{func(c *Config) { c.Host = strings.Repeat("h", 256) }, "too long"},
		{func(c *Config) { c.Port = 65536 }, "port"},
		{func(c *Config) { c.User = "-x" }, "user"},
		{func(c *Config) { c.User = "" }, "user"},
	} {
		cfg := *w.cfg
		c.change(&cfg)
		if _, err := Dial(t.Context(), &cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q %q: %v", cfg.Host, cfg.User, err)
		}
	}
}

func TestDialAddresses(t *testing.T) {
	w := newWorld(t)
	w.allow(w.identity(t, "id_ed25519"))
	w.cfg.Network, w.cfg.LocalAddr = "tcp4", netip.MustParseAddr("127.0.0.1")
	w.dial(t)
	w.cfg.Network, w.cfg.LocalAddr = "tcp6", netip.Addr{}
	if _, err := Dial(t.Context(), w.cfg); err == nil {
		t.Error("an IPv4 address over IPv6")
	}
	w.cfg.Network = ""
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, w.cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A refusal names certificates as such, and says if their time is not now.
func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	newKey(t, dir+"/ca")
	fingerprint := newKey(t, dir+"/key").Key().Fingerprint()
	plain, err := auth.OpenIdentity(dir+"/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(plain), dir+"/key "+fingerprint; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for validity, want := range map[string]string{
		"always:forever":                "",
		"20200101000000:20200102000000": " (expired at 2020-01-0",
		"20990101000000:20990102000000": " (not valid before 20",
	} {
		s, err := auth.WithCertificate(plain, sign(t, dir+"/ca", dir+"/key", "-V", validity))
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(s); !strings.HasPrefix(got, "certificate "+dir+"/key "+fingerprint+want) || want == "" && !strings.HasSuffix(got, fingerprint) {
			t.Errorf("%s: %q", validity, got)
		}
	}
}
