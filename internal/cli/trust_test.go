package cli

import (
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rexec/rex/internal/login"
)

// The first of these options counts, but of files of keys all do.
func TestTrustOptions(t *testing.T) {
	r := testRunner(
		t, "-i", "a b", "-oIdentityFile=~/k", "-o", `IdentityFile="c d"`, "-oCertificateFile=c1", "-oCertificateFile c2",
		"-oIdentitiesOnly=yes", "-oIdentitiesOnly=no", "-oIdentityAgent=SSH_AUTH_SOCK", "-oUserKnownHostsFile=/x  ~/y",
		"-oUserKnownHostsFile=z", "-oGlobalKnownHostsFile=none", "-oRevokedHostKeys=%d/r", "-oHostKeyAlias=Web", "-oHashKnownHosts=yes",
		"-oNumberOfPasswordPrompts=2", "-oStrictHostKeyChecking=accept-new", "-oStrictHostKeyChecking=no", "-oAddressFamily=inet6", "-4",
		"-b", "192.0.2.1", "-oBindAddress=192.0.2.2", "-p", "22", "-oHostName=10.0.0.1", "bob@web1",
	)
	r.env.Getenv = func(name string) string { return map[string]string{"HOME": "/h/a", "SSH_AUTH_SOCK": "/s"}[name] }
	got, err := r.loginConfig()
	if err != nil {
		t.Fatal(err)
	}
	got.Trace, got.Warn, got.Log = nil, nil, nil
	want := &login.Config{
		Host: "10.0.0.1", Port: 22, Alias: "Web", User: "bob", Home: "/h/a", CacheDir: "/h/a/.cache/rex",
		IdentityFiles: []string{"a b", "/h/a/k", "c d"}, CertificateFiles: []string{"c1", "c2"}, IdentitiesOnly: true,
		IdentityAgent: "SSH_AUTH_SOCK", AuthSock: "/s", UserKnownHostsFiles: []string{"/x", "/h/a/y"}, GlobalKnownHostsFiles: []string{},
		RevokedHostKeys: "/h/a/r", StrictHostKeyChecking: login.StrictAcceptNew, HashKnownHosts: true, PassphraseTries: 2,
		EarlyData: true, StdinSafe: true, Network: "tcp4", LocalAddr: got.LocalAddr,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b interface{ String() string }) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.LocalAddr.String() != "192.0.2.1" {
		t.Errorf("from %v", got.LocalAddr)
	}
}

func TestTrustDefaults(t *testing.T) {
	r := testRunner(t, "web1")
	got, err := r.loginConfig()
	if err != nil {
		t.Fatal(err)
	}
	if got.IdentityFiles != nil || got.UserKnownHostsFiles != nil || got.GlobalKnownHostsFiles != nil || got.StrictHostKeyChecking != login.StrictAsk ||
		got.Port != 7390 || got.Host != "web1" || got.User == "" || got.Home == "" || got.Network != "" {
		t.Errorf("%+v", got)
	}
}

func TestTrustErrors(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"StrictHostKeyChecking=maybe", "unknown value"},
		{"AddressFamily=ipx", "unknown value"},
		{"IdentitiesOnly=perhaps", "unknown value"},
		{"HashKnownHosts=perhaps", "unknown value"},
		{"NumberOfPasswordPrompts=0", "bad number"},
		{"NumberOfPasswordPrompts=x", "bad number"},
		{"IdentityFile=a b", "takes one value"},
		{"CertificateFile=", "no argument"},
		{`UserKnownHostsFile="a`, "a quote is not closed"},
		{"IdentityAgent=a b", "takes one value"},
	} {
		err := (&invocation{}).keyword(c.arg)
		if err == nil || !strings.Contains(err.Error(), c.want) || asFailure(err).hint == "" {
			t.Errorf("%q: got %v, want %q", c.arg, err, c.want)
		}
	}
}

func TestExpandFile(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	r := testRunner(t, "-p", "7", "bob@web1")
	r.env.Getenv = func(name string) string { return map[string]string{"HOME": "/h", "AGENT": "/a"}[name] }
	for name, want := range map[string]string{
		"x": "x", "~": "/h", "~/x": "/h/x", "%d/x": "/h/x", "~/%r@%h:%p-%n-%%": "/h/bob@web1:7-web1-%", "%u": me.Username,
		"a~b": "a~b", "~" + me.Username + "/x": me.HomeDir + "/x", "": "",
	} {
		if got, err := r.expandFile(name); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"%", "%C", "~no-such-user/x", "%%%"} {
		if got, err := r.expandFile(name); err == nil {
			t.Errorf("%q: %q", name, got)
		}
	}
	for name, want := range map[string]string{"none": "none", "$AGENT": "/a", "$NOTHING": "none", "~/a": "/h/a", "SSH_AUTH_SOCK": "SSH_AUTH_SOCK"} {
		if got, err := r.expandAgent(name); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	if files, err := r.expandFiles([]string{"a", "none"}); err != nil || files == nil || len(files) != 0 {
		t.Errorf("none: %q, %v", files, err)
	}
	if files, err := r.expandFiles(nil); err != nil || files != nil {
		t.Errorf("nothing: %q, %v", files, err)
	}
}

// Nothing is lost of what is not read before the command has started.
func TestStdinSafe(t *testing.T) {
	r := testRunner(t, "host")
	if !r.stdinSafe() {
		t.Error("the null device has nothing to lose")
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.env.Stdin = f
	if r.stdinSafe() {
		t.Error("a file is read from where it stands")
	}
	r.inv.stdinNull.put(true)
	if !r.stdinSafe() {
		t.Error("with -n nothing is read")
	}
}

func FuzzExpandFile(f *testing.F) {
	for _, seed := range []string{"", "~", "~/x", "%h%%", "%", "%x", "~root/%d", "a%pb%nc%rd%ue"} {
		f.Add(seed)
	}
	inv, err := parseArgs([]string{"bob@web1"}, false)
	if err != nil {
		f.Fatal(err)
	}
	r := newRunner(Env{Getenv: func(string) string { return "/h" }}, newUI(nil), inv, false)
	f.Fuzz(func(t *testing.T, name string) {
		path, err := r.expandFile(name)
		if err == nil && !strings.ContainsAny(name, "%~") && path != name {
			t.Errorf("%q became %q", name, path)
		}
	})
}

// What would let something else happen than was asked for is refused, where rex
// logs in; as of all options the first one counts.
func TestLoginKeywords(t *testing.T) {
	for words, want := range map[string]string{
		"-oPubkeyAuthentication=no host":                                 "rex logs in with public keys only",
		"-oPubkeyAuthentication=no -oPubkeyAuthentication=yes host":      "rex logs in with public keys only",
		"-oPubkeyAuthentication=yes -oPubkeyAuthentication=no host":      "",
		"-oPubkeyAuthentication=unbound host":                            "",
		"-oPreferredAuthentications=password host":                       "PreferredAuthentications=password leaves nothing",
		"-oPreferredAuthentications=password,publickey host":             "",
		"-I /lib/pkcs11.so host":                                         "-I and PKCS11Provider are not in this version",
		"-oPKCS11Provider=none host":                                     "",
		"-B lo host":                                                     "-B and BindInterface are not in this version",
		"-oBindInterface=lo host":                                        "-B and BindInterface",
		"-oProxyCommand=none -B lo host":                                 "-B and BindInterface",
		"-oProxyCommand=x -oPubkeyAuthentication=no -I /lib/x -B l host": "",
		"-oPubkeyAuthentication=no local:":                               "",
	} {
		inv, err := parseArgs(strings.Fields(words), false)
		if err != nil {
			t.Fatal(err)
		}
		err = (&program{}).check(inv, false)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || asFailure(err).hint == "") {
			t.Errorf("%s: got %v, want %q", words, err, want)
		}
	}
}
