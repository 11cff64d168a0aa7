package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSends(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		name     string
		want     bool
	}{
		{[]string{"LANG", "LC_*"}, "LANG", true},
		{[]string{"LANG", "LC_*"}, "LC_ALL", true},
		{[]string{"LANG", "LC_*"}, "LANGUAGE", false},
		{[]string{"A?"}, "AB", true},
		{[]string{"A?"}, "A", false},
		{[]string{"LC_*", "-LC_ALL"}, "LC_ALL", false},
		{[]string{"-LC_ALL", "LC_*"}, "LC_ALL", true},
		{[]string{"["}, "[", false},
		{nil, "A", false},
	} {
		if got := sends(c.patterns, c.name); got != c.want {
			t.Errorf("%q %s: %v", c.patterns, c.name, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	r := testRunner(t, "--env", "A=long", "-oSendEnv=GIT_*", "-o", `SetEnv=A=set B="x y"`, "host")
	r.env.Environ = func() []string {
		return []string{"LANG=C", "LC_ALL=C", "GIT_PROTOCOL=version=2", "HOME=/root", "odd", "GIT-X=1", "=C:=x"}
	}
	want := []string{"GIT_PROTOCOL=version=2", "A=set", "B=x y", "A=long"}
	if diff := cmp.Diff(want, r.environment()); diff != "" {
		t.Errorf("without a pty (-want +got):\n%s", diff)
	}
	r.pty = true
	if diff := cmp.Diff(append([]string{"LANG=C", "LC_ALL=C"}, want...), r.environment()); diff != "" {
		t.Errorf("with a pty (-want +got):\n%s", diff)
	}
}

// Where stdin is no terminal only -tt gets a pty.
func TestWantsPTYWithoutTerminal(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  bool
	}{
		{[]string{"host"}, false},
		{[]string{"host", "x"}, false},
		{[]string{"-t", "host", "x"}, false},
		{[]string{"-tt", "host", "x"}, true},
		{[]string{"-tt", "-n", "host", "x"}, true},
		{[]string{"-tt", "-T", "host"}, false},
		{[]string{"-oRequestTTY=force", "host"}, true},
	} {
		if got := testRunner(t, c.words...).wantsPTY(); got != c.want {
			t.Errorf("%q: %v", c.words, got)
		}
	}
}

func TestTerminalWithoutOne(t *testing.T) {
	term := testRunner(t, "-tt", "host").terminal()
	if term.Name != "dumb" || term.Rows != 24 || term.Cols != 80 {
		t.Errorf("%+v", term)
	}
}
