//go:build unix

package authorize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes a machine with an sshd below a new directory, which ends in "/".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir() + "/"
	for name, text := range files {
		path := root + name
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "/sshd") {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(strings.ReplaceAll(text, "ROOT/", root)), mode)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	program = "usr/sbin/sshd"
	config  = "etc/ssh/sshd_config"
)

var errNoT = errors.New("sshd -T failed")

func TestSSHDBinding(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		out   string   // of sshd -T; empty: it fails
		want  []string // in the lines, in this order
	}{
		"nothing":      {map[string]string{config: "Port 22\nUsePAM yes\n#AllowUsers a\n\n"}, "usepam yes\nauthenticationmethods any\nrevokedkeys none\npermittty yes\npubkeyauthentication yes", nil},
		"allow":        {map[string]string{config: "Port 22\n  AllowUsers alice bob # c\n"}, "allowusers alice\nallowusers bob", []string{`etc/ssh/sshd_config:2: "AllowUsers alice bob # c"`}},
		"all keywords": {map[string]string{config: "denyusers a\nAllowGroups\tb\nDENYGROUPS=c\nForceCommand \"d\"\nChrootDirectory = /e\nAuthenticationMethods publickey,password\nPermitTTY no"}, "", []string{":1:", ":2:", ":3:", ":4:", ":5:", ":6:", ":7:"}},
		"harmless":     {map[string]string{config: "ForceCommand none\nAuthenticationMethods \"any\"\nChrootDirectory none\nRevokedKeys none\nPubkeyAuthentication yes"}, "", nil},
		"taken over":   {map[string]string{config: "RevokedKeys /f\nTrustedUserCAKeys /g"}, "revokedkeys /f\ntrustedusercakeys /g", nil},
		"no keys":      {map[string]string{config: "PubkeyAuthentication no"}, "", []string{":1:"}},
		"match":        {map[string]string{config: "Match User git\n  X11Forwarding no\n"}, "", []string{`:1: "Match User git"`}},
		"in match":     {map[string]string{config: "Match all\nForceCommand x\n"}, "", []string{":1:", `:2: "ForceCommand x"`}},
		"include":      {map[string]string{config: "Include sshd_config.d/*.conf \"ROOT/other\"\nPort 22", "etc/ssh/sshd_config.d/b.conf": "\nAllowUsers b", "etc/ssh/sshd_config.d/a.conf": "Include deep", "etc/ssh/deep": "DenyUsers d", "other": "AllowGroups o", "etc/ssh/sshd_config.d/x.old": "AllowUsers x"}, "", []string{"deep:1:", "b.conf:2:", "other:1:"}},
		"missing file": {map[string]string{config: "Include nothing/*.conf nothing.conf"}, "", nil},
		"built in":     {map[string]string{config: "Port 22"}, "allowgroups wheel\nforcecommand none", []string{`sshd -T: allowgroups "wheel"`}},
		"principals":   {map[string]string{config: "AuthorizedPrincipalsFile /p"}, "", nil},
		"with CA":      {map[string]string{config: "AuthorizedPrincipalsFile /p\nTrustedUserCAKeys /ca"}, "", []string{":1:"}},
		"escapes":      {map[string]string{config: "AllowUsers \x1b[2J"}, "", []string{`AllowUsers \x1b[2J`}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files[program] = "#!"
			s, err := checkSSHD(t.Context(), tree(t, c.files), func(context.Context, string) ([]byte, error) {
				if c.out == "" {
					return nil, errNoT
				}
				return []byte(c.out), nil
			})
			if err != nil || len(s.Binding) != len(c.want) || (c.out == "") != errors.Is(s.Warning, errNoT) {
				t.Fatalf("%+v, %v", s, err)
			}
			for i, want := range c.want {
				if !strings.Contains(s.Binding[i], want) {
					t.Errorf("%q, want %q", s.Binding[i], want)
				}
			}
		})
	}
}

func TestSSHDValues(t *testing.T) {
	text := "UsePAM no\nusepam yes\nTrustedUserCAKeys /ca\nRevokedKeys \"/re voked\"\nAuthorizedKeysFile a b\nMatch all\nUsePAM yes\nAuthorizedKeysFile c"
	out := "usepam yes\ntrustedusercakeys /other\nrevokedkeys none\nauthorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2"
	for _, c := range []struct {
		out  string
		want SSHD
	}{
		{"", SSHD{UsePAM: false, TrustedUserCAKeys: "/ca", RevokedKeys: "/re voked", AuthorizedKeys: []string{"a", "b"}}},
		{out, SSHD{UsePAM: true, TrustedUserCAKeys: "/other", AuthorizedKeys: DefaultAuthorizedKeys()}},
		{out + "\nauthorizedprincipalsfile /p", SSHD{UsePAM: true, AuthorizedKeys: DefaultAuthorizedKeys()}},
		{out + "\nauthorizedprincipalscommand /p", SSHD{UsePAM: true, AuthorizedKeys: DefaultAuthorizedKeys()}},
	} {
		s, err := checkSSHD(t.Context(), tree(t, map[string]string{program: "", config: text}), func(context.Context, string) ([]byte, error) {
			if c.out == "" {
				return nil, errNoT
			}
			return []byte(c.out), nil
		})
		if err != nil || s.JudgeLocked() == c.want.UsePAM {
			t.Fatal(s, err)
		}
		s.Program, s.Binding, s.Warning = "", nil, nil
		if diff := cmp.Diff(&c.want, s); diff != "" {
			t.Errorf("%q: %s", c.out, diff)
		}
	}
}

func TestSSHDPlaces(t *testing.T) {
	fails := func(context.Context, string) ([]byte, error) { return nil, errNoT }
	works := func(context.Context, string) ([]byte, error) { return []byte("usepam yes\n"), nil }
	check := func(files map[string]string, run func(context.Context, string) ([]byte, error)) (*SSHD, error) {
		return checkSSHD(t.Context(), tree(t, files), run)
	}
	if s, err := check(nil, fails); err != nil || s.Program != "" || !s.JudgeLocked() {
		t.Errorf("without sshd: %+v, %v", s, err)
	}
	if s, err := check(map[string]string{config: "AllowUsers a"}, fails); err != nil || s.Binding != nil {
		t.Errorf("without a program: %+v, %v", s, err)
	}
	if s, err := check(map[string]string{"usr/local/sbin/sshd": "", "usr/local/etc/sshd_config": "AllowUsers a"}, works); err != nil || len(s.Binding) != 1 {
		t.Errorf("local: %+v, %v", s, err)
	}
	if s, err := check(map[string]string{"usr/local/sbin/sshd": "", config: "AllowUsers a"}, works); err != nil || len(s.Binding) != 1 {
		t.Errorf("local with the system's file: %+v, %v", s, err)
	}
	if s, err := check(map[string]string{program: ""}, works); err != nil || !s.UsePAM {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	if _, err := check(map[string]string{program: ""}, fails); !errors.Is(err, errNoT) {
		t.Errorf("nothing can be found out: %v", err)
	}
	loop := map[string]string{program: "", config: "Include sshd_config"}
	if _, err := check(loop, fails); err == nil || !strings.Contains(err.Error(), "too many files") {
		t.Errorf("a loop: %v", err)
	}
	if s, err := check(loop, works); err != nil || s.Warning == nil {
		t.Errorf("a loop, and sshd -T works: %+v, %v", s, err)
	}
}

// TestSSHDHere asks the sshd of this machine.
func TestSSHDHere(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs as root")
		}
		t.Skip("needs root")
	}
	s, err := CheckSSHD(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI has an sshd")
		}
		t.Skip("no sshd here")
	}
	t.Logf("%+v", s)
	if s.Warning == nil && len(s.AuthorizedKeys) == 0 {
		t.Errorf("%+v", s)
	}
	_, err = runSSHD(t.Context(), "/bin/false")
	if err == nil || !strings.Contains(err.Error(), "/bin/false -T") {
		t.Error(err)
	}
}

func FuzzConfigLine(f *testing.F) {
	for _, s := range []string{"AllowUsers a", "a=b", "\"x\" \"y z\" # c", "#", "", "Match", "=", "\"", "a \"b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, ok := parseConfigLine(raw)
		if ok && strings.ContainsAny(l.keyword, " \t=\"") {
			t.Fatalf("keyword %q", l.keyword)
		}
		if text := fmt.Sprint(l); strings.ContainsAny(text, "\n\x1b") {
			t.Fatalf("not printable: %q", text)
		}
		sc := &scanner{}
		sc.lines = append(sc.lines, configLine{file: t.TempDir() + "/x"})
		if l.keyword != "include" {
			sc.take(l, 0)
		}
	})
}
