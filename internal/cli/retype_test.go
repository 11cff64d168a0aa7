package cli

import (
	"strings"
	"testing"
)

// What is to be typed again has all that was typed, and means what is said.
func TestRetype(t *testing.T) {
	long := strings.Repeat("x", maxRetyped+1)
	for _, c := range []struct {
		words []string
		more  []string
		want  string
	}{
		{[]string{"host"}, nil, "rex host"},
		{[]string{"-p", "17", "bob@host", "true"}, []string{"-o", "StrictHostKeyChecking=accept-new"}, "rex -o StrictHostKeyChecking=accept-new -p 17 bob@host true"},
		{[]string{"-p17", "-oBatchMode=yes", "host", "-n", "--dir", "/a b", "--json", "x", "-y"}, nil, "rex -p 17 -o BatchMode=yes host -n '--dir=/a b' --json x -y"},
		{[]string{"-tt", "host:1", "-i", "~/k", "x"}, []string{"-T"}, "rex -T host:1 -i '~/k' x"},
		{[]string{"-qp1", "--log-level=warn", "host"}, []string{"-v"}, "rex -v -p 1 host"},
		{[]string{"-ostricthostkeychecking=yes", "-oUser=x", "host"}, []string{"-o", "StrictHostKeyChecking=ask"}, "rex -o StrictHostKeyChecking=ask -o User=x host"},
		{[]string{"-o", "Port=1", "-p", "2", "ssh://bob@host:3", "x"}, []string{"-p", "4"}, "rex -p 4 bob@host x"},
		{[]string{"host:6", "-p", "5"}, nil, "rex host:6 -p 5"},
		{[]string{"-i", "a", "host"}, []string{"-i", "FILE"}, "rex -i FILE host"},
		{[]string{"--json", "host", "x"}, []string{"--status-file", "FILE"}, "rex --status-file FILE host x"},
		{[]string{"--", "exec", "-x"}, nil, "rex -- exec -x"},
		{[]string{"host", "--", "-x"}, nil, "rex host -- -x"},
		{[]string{"[::1]:7", "echo", "a b", "it's", "=ls", "*", "[a]", "$HOME"}, nil, `rex '[::1]:7' echo 'a b' "it's" '=ls' '*' '[a]' '$HOME'`},
		{[]string{"--env", "A=secret", "-oSetEnv=B=secret C='a secret'", "host"}, nil, "rex --env=A=… -o 'SetEnv=B=… C=…' host"},
		{[]string{"host", long}, nil, "rex host COMMAND"},
		{[]string{"host", "a\nb"}, nil, "rex host COMMAND"},
	} {
		inv, err := parseArgs(c.words, false)
		if err != nil {
			t.Errorf("%q: %v", c.words, err)
			continue
		}
		got := inv.retype(false, inv.words, c.more...)
		if got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.words, got, c.want)
		}
	}
	r := testRunner(t, "-p", "17", "--dir=/x", "host", "prog", "arg")
	r.exact = true
	if got, want := r.again("-v"), "rex exec -v -p 17 --dir=/x host prog arg"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := r.inv.instead("ps", "-ef"), "rex -p 17 --dir=/x host ps -ef"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r = testRunner(t, "-sp", "17", "host", "echo")
	if got, want := r.again("-v"), "rex -v -s -p 17 host echo"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := r.inv.asService(); err != nil {
		t.Error(err)
	}
	r.inv = r.inv.without("-s")
	if got, want := r.again("-v"), "rex service -v -p 17 host echo"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := r.inv.instead("ps"), "rex -p 17 host ps"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r = testRunner(t, "-o", "RemoteCommand=x", "--status-file=/s", "host")
	if got, want := r.inv.instead("ls", "it's"), `rex host ls '"it'\''s"'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r = testRunner(t, "-p", "17", "--dir=/x", "host", "prog", "arg")
	if got, want := r.inv.without("--dir").retype(true, r.inv.words), "rex exec -p 17 host prog arg"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
