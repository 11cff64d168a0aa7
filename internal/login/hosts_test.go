//go:build unix

package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/listentest"
	"github.com/rexec/rex/internal/transport"
)

// A hostCase has a known_hosts file for every verdict.
type hostCase struct {
	shown, other, authority *auth.Key
	cert                    *auth.Key // for shown, by authority
}

func newHostCase(t *testing.T) hostCase {
	dir := t.TempDir()
	c := hostCase{
		shown:     newKey(t, dir+"/shown").Key(),
		other:     newKey(t, dir+"/other").Key(),
		authority: newKey(t, dir+"/ca").Key(),
	}
	c.cert = sign(t, dir+"/ca", dir+"/shown", "-h", "-n", "web1")
	return c
}

// files are the contents of known_hosts that lead to each verdict.
func (c hostCase) files() map[knownhosts.Verdict]string {
	return map[knownhosts.Verdict]string{
		knownhosts.Unknown:     fmt.Sprintf("[web2]:7390 %s\n", c.other),
		knownhosts.Trusted:     fmt.Sprintf("[web1]:7390 %s\n", c.shown),
		knownhosts.TrustedByCA: fmt.Sprintf("@cert-authority *web1* %s\n", c.authority),
		knownhosts.Changed:     fmt.Sprintf("# old\n[web1]:7390 %s\n", c.other),
		knownhosts.Differs:     fmt.Sprintf("web1 %s\n", c.other),
		knownhosts.Revoked:     fmt.Sprintf("@revoked * %s\n[web1]:7390 %s\n", c.shown, c.shown),
	}
}

// TestHostDecisions is every verdict with every setting, with and without
// somebody to ask.
func TestHostDecisions(t *testing.T) {
	c := newHostCase(t)
	type asker struct {
		name    string
		answers []string
		err     error
	}
	lost := errors.New("the terminal is gone")
	askers := []asker{
		{name: "nobody"},
		{"yes", []string{"yes"}, nil},
		{"YES", []string{" YES\r"}, nil},
		{"no", []string{"no"}, nil},
		{"empty", []string{"", "no"}, nil},
		{"end of input", nil, io.EOF},
		{"fingerprint", []string{c.shown.Fingerprint()}, nil},
		{"wrong fingerprint", []string{c.other.Fingerprint(), "no"}, nil},
		{"nonsense", []string{"y", "maybe", "yes"}, nil},
		{"endless", slices.Repeat([]string{"y"}, maxAsked), nil},
		{"error", nil, lost},
	}
	for verdict, content := range c.files() {
		for _, strict := range []Strict{StrictAsk, StrictYes, StrictAcceptNew, StrictNo} {
			for _, a := range askers {
				t.Run(fmt.Sprintf("%v/%d/%s", verdict, strict, a.name), func(t *testing.T) {
					file := filepath.Join(t.TempDir(), "known_hosts")
					if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
					cfg := hostConfig(file)
					cfg.StrictHostKeyChecking = strict
					s := &script{answers: a.answers, err: a.err}
					if a.name != "nobody" {
						cfg.Asker = s
					}
					h, err := loadHosts(cfg)
					if err != nil {
						t.Fatal(err)
					}
					err = h.verify(t.Context(), &transport.HostProof{Key: c.shown, Cert: c.cert})

					unsure := verdict == knownhosts.Unknown || verdict == knownhosts.Differs
					sayYes := slices.Contains([]string{"yes", "YES", "fingerprint", "nonsense"}, a.name)
					want, adds := error(nil), false
					switch {
					case verdict == knownhosts.Trusted, verdict == knownhosts.TrustedByCA:
					case !unsure:
						want = errors.ErrUnsupported // any
					case strict == StrictNo, strict == StrictAcceptNew && verdict == knownhosts.Unknown:
						adds = true
					case strict == StrictAcceptNew:
						want = ErrOtherKey
					case strict != StrictAsk:
						want = ErrStrict
					case a.name == "nobody":
						want = ErrNobodyToAsk
					case a.err == lost:
						want = lost
					case sayYes:
						adds = true
					default:
						want = ErrDeclined
					}
					checkDecision(t, err, want, verdict)
					asks := unsure && strict == StrictAsk && a.name != "nobody"
					if (len(s.asked) > 0) != asks {
						t.Errorf("asked %q", s.asked)
					}
					after, _ := os.ReadFile(file)
					if added := strings.TrimPrefix(string(after), content); (added == fmt.Sprintf("[web1]:7390 %s\n", c.shown)) != adds || !adds && added != "" {
						t.Errorf("added %q", added)
					}
				})
			}
		}
	}
}

func hostConfig(file string) *Config {
	return &Config{
		Host: "web1", Port: 7390, UserKnownHostsFiles: []string{file}, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler),
	}
}

func checkDecision(t *testing.T, err, want error, verdict knownhosts.Verdict) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	host, ok := errors.AsType[*HostError](err)
	switch {
	case !ok:
		t.Fatalf("got %v, want a HostError", err)
	case host.Result.Verdict != verdict, host.Name != "[web1]:7390":
		t.Errorf("got %+v", host)
	case want == errors.ErrUnsupported && host.Err != nil, want != errors.ErrUnsupported && !errors.Is(err, want):
		t.Errorf("got %v, want %v", host.Err, want)
	}
}

// The errors name the file, the line and both keys.
func TestHostErrorTexts(t *testing.T) {
	c := newHostCase(t)
	for verdict, wants := range map[knownhosts.Verdict][]string{
		knownhosts.Unknown: {"[web1]:7390 is not known", "no terminal"},
		knownhosts.Changed: {"[web1]:7390 has changed", c.other.Fingerprint(), "known_hosts line 2"},
		knownhosts.Differs: {"is not known", "not that of its sshd", c.other.Fingerprint(), "known_hosts line 1", "no terminal"},
		knownhosts.Revoked: {"is revoked by", "known_hosts line 1"},
	} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		os.WriteFile(file, []byte(c.files()[verdict]), 0o600)
		h, err := loadHosts(hostConfig(file))
		if err != nil {
			t.Fatal(err)
		}
		err = h.verify(t.Context(), &transport.HostProof{Key: c.shown})
		for _, want := range append(wants, c.shown.Type()+" "+c.shown.Fingerprint()) {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %v, want %q", verdict, err, want)
			}
		}
	}
}

// The question has what is to be compared, and why.
func TestHostQuestion(t *testing.T) {
	c := newHostCase(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	os.WriteFile(file, []byte(c.files()[knownhosts.Differs]), 0o600)
	cfg := hostConfig(file)
	s := &script{answers: []string{"huh", "yes"}}
	cfg.Asker, cfg.HashKnownHosts = s, true
	h, err := loadHosts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	proof := &transport.HostProof{Key: c.shown, Cert: c.cert}
	for range 2 { // the second time nothing is asked, nor added
		if err := h.verify(t.Context(), proof); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.asked) != 2 || !strings.Contains(s.asked[1], "fingerprint") {
		t.Fatalf("asked %q", s.asked)
	}
	for _, want := range []string{"[web1]:7390", c.shown.Fingerprint(), "sshd", c.other.Fingerprint(), "no line names the authority", "(yes/no/[fingerprint])? "} {
		if !strings.Contains(s.asked[0], want) {
			t.Errorf("%q is missing in %q", want, s.asked[0])
		}
	}
	data, _ := os.ReadFile(file)
	if strings.Count(string(data), "\n") != 2 || !strings.Contains(string(data), "\n|1|") {
		t.Errorf("the file is %q", data)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("too late")
	cancel(late)
	if h, s.err = (&hosts{Config: cfg}), io.EOF; !errors.Is(h.ask(ctx, &HostError{Key: c.shown}), late) {
		t.Error("an answer is taken too late, or its lack not explained")
	}
	if h, err = loadHosts(cfg); err != nil || h.verify(t.Context(), proof) != nil {
		t.Errorf("not known afterwards: %v", err)
	}
}

// Another key, a moment after one was accepted, is another host.
func TestHostAcceptedIsOneKey(t *testing.T) {
	c := newHostCase(t)
	cfg := hostConfig(filepath.Join(t.TempDir(), "none", "known_hosts"))
	s := &script{answers: []string{"yes", "no"}}
	cfg.Asker = s
	h, err := loadHosts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.verify(t.Context(), &transport.HostProof{Key: c.shown}); err != nil {
		t.Fatal(err)
	}
	if err := h.verify(t.Context(), &transport.HostProof{Key: c.other}); !errors.Is(err, ErrDeclined) {
		t.Errorf("got %v", err)
	}
}

func TestHostFilesMustBeReadable(t *testing.T) {
	dir := t.TempDir()
	cfg := hostConfig(dir)
	if _, err := loadHosts(cfg); err == nil {
		t.Error("a directory was read")
	}
	cfg = hostConfig(filepath.Join(dir, "missing"))
	cfg.RevokedHostKeys = filepath.Join(dir, "missing")
	if _, err := loadHosts(cfg); err == nil {
		t.Error("without the list of revoked keys nothing can be accepted")
	}
}

func TestRevokedHostKeys(t *testing.T) {
	c := newHostCase(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	os.WriteFile(file, []byte(c.files()[knownhosts.Trusted]), 0o600)
	for _, key := range []*auth.Key{c.shown, c.authority} {
		cfg := hostConfig(file)
		cfg.StrictHostKeyChecking = StrictNo
		cfg.RevokedHostKeys = filepath.Join(t.TempDir(), "revoked")
		os.WriteFile(cfg.RevokedHostKeys, []byte(key.String()+"\n"), 0o600)
		h, err := loadHosts(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = h.verify(t.Context(), &transport.HostProof{Key: c.shown, Cert: c.cert})
		if err == nil || !strings.Contains(err.Error(), "is revoked") {
			t.Errorf("got %v", err)
		}
	}
}

// An alias stands for host and port.
func TestHostAlias(t *testing.T) {
	c := newHostCase(t)
	cfg := hostConfig(filepath.Join(t.TempDir(), "known_hosts"))
	cfg.Alias, cfg.StrictHostKeyChecking = "Cluster", StrictAcceptNew
	h, err := loadHosts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.verify(t.Context(), &transport.HostProof{Key: c.shown}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(cfg.UserKnownHostsFiles[0])
	if string(data) != fmt.Sprintf("cluster %s\n", c.shown) {
		t.Errorf("added %q", data)
	}
	cfg.StrictHostKeyChecking, cfg.Host = StrictYes, "other"
	if h, err = loadHosts(cfg); err != nil || h.verify(t.Context(), &transport.HostProof{Key: c.shown}) != nil {
		t.Error("not known by its alias")
	}
}

// A host that cannot be remembered is connected to, with a warning.
func TestHostNotRemembered(t *testing.T) {
	c := newHostCase(t)
	cfg := hostConfig("/proc/self/nowhere/known_hosts")
	cfg.StrictHostKeyChecking = StrictAcceptNew
	var warned string
	cfg.Warn = func(text string) { warned = text }
	h, err := loadHosts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.verify(t.Context(), &transport.HostProof{Key: c.shown}); err != nil || !strings.Contains(warned, "not remembered") {
		t.Errorf("%v, %q", err, warned)
	}
	cfg.UserKnownHostsFiles, warned = []string{}, ""
	if h, err = loadHosts(cfg); err != nil {
		t.Fatal(err)
	}
	if err := h.verify(t.Context(), &transport.HostProof{Key: c.shown}); err != nil || warned != "" {
		t.Errorf("%v, %q", err, warned)
	}
}

// The types of the keys that are known are asked for first, and all are.
func TestHostKeyTypes(t *testing.T) {
	dir := t.TempDir()
	program(t, "ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", dir+"/ecdsa")
	key, err := auth.LoadPublicKey(dir + "/ecdsa.pub")
	if err != nil {
		t.Fatal(err)
	}
	cfg := hostConfig(dir + "/known_hosts")
	for _, content := range []string{"", fmt.Sprintf("[web1]:7390 %s\n", key), fmt.Sprintf("web1 %s\n", key)} {
		os.WriteFile(dir+"/known_hosts", []byte(content), 0o600)
		h, err := loadHosts(cfg)
		if err != nil {
			t.Fatal(err)
		}
		types := h.types()
		first := "ssh-ed25519"
		if content != "" {
			first = "ecdsa-sha2-nistp384"
		}
		if len(types) != 5 || types[0] != first || len(slices.Compact(slices.Sorted(slices.Values(types)))) != 5 {
			t.Errorf("%q: %q", content, types)
		}
	}
}

// Not a byte of the login is written to a host that is not verified.
func TestUnverifiedHostGetsNothing(t *testing.T) {
	w := newWorld(t)
	w.identity(t, "id_ed25519")
	w.cfg.UserKnownHostsFiles = []string{}
	_, err := Dial(t.Context(), w.cfg)
	if !errors.Is(err, ErrNobodyToAsk) {
		t.Fatalf("got %v", err)
	}
	if tried := w.attempts(); len(tried) != 0 {
		t.Errorf("it was told %q", tried)
	}
	// Nor is anything listening needed to say that a port is foreign.
	w.cfg.Port = listentest.Listen(t, func(c net.Conn) {
		c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
		c.Read(make([]byte, 4096))
	}).Port
	_, err = Dial(t.Context(), w.cfg)
	if foreign, ok := errors.AsType[*transport.ForeignPeerError](err); !ok || foreign.Protocol != "ssh" {
		t.Errorf("got %v", err)
	}
}

// Lines that say nothing are told of, for those who wonder why a host is not
// known.
func TestSkippedLines(t *testing.T) {
	c := newHostCase(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	os.WriteFile(file, []byte(fmt.Sprintf("[web2]:7390 %s\n[web1]:7390 ssh-ed25519 AAAAbroken\n", c.other)), 0o600)
	cfg := hostConfig(file)
	var log strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if _, err := loadHosts(cfg); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "file="+file+" line=2 why=") || strings.Contains(log.String(), "line=1") {
		t.Errorf("logged %q", log.String())
	}
}
