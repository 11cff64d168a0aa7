package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeywordSpellings(t *testing.T) {
	for _, arg := range []string{
		"User=bob", "user bob", "USER = bob", " User=bob", "\tuser\tbob", `User="bob"`, `user "bob" `, "User =bob", "User= bob", `User='bob'`, `User b"o"b`,
	} {
		inv := &invocation{}
		if err := inv.keyword(arg); err != nil || inv.user.value != "bob" {
			t.Errorf("%q: %q, %v", arg, inv.user.value, err)
		}
	}
}

func TestKeywordErrors(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"Nosuch=1", "bad configuration option: Nosuch"},
		{"", "bad configuration option"},
		{"=x", "bad configuration option"},
		{"User", "no argument after -o User"},
		{"User=", "no argument"},
		{"ControlPersist", "no argument after -o ControlPersist"},
		{`User="bob`, "a quote is not closed"},
		{`User="a" b`, "takes one value"},
		{"Port=0", "bad port"},
		{"Port=x", "bad port"},
		{"HostName=-x", "begins with '-'"},
		{"HostName=$(x)", "forbidden character"},
		{"RequestTTY=maybe", "unknown value"},
		{"LogLevel=loud", "unknown value"},
		{"SessionType=odd", "unknown value"},
		{"BatchMode=maybe", "unknown value"},
		{"ForwardAgent=maybe", "unknown value"},
		{"EscapeChar=xx", "bad escape character"},
		{"ConnectTimeout=soon", "bad time"},
		{"SetEnv=A", "no value"},
		{"SetEnv=A=b 2=c", "no name"},
		{`SendEnv="A`, "a quote is not closed"},
	} {
		err := (&invocation{}).keyword(c.arg)
		if err == nil || !strings.Contains(err.Error(), c.want) || asFailure(err).hint == "" {
			t.Errorf("%q: got %v, want %q", c.arg, err, c.want)
		}
	}
}

func TestKeywordsAct(t *testing.T) {
	inv := &invocation{}
	for _, arg := range []string{
		"LogLevel=DEBUG2", "RequestTTY=force", "EscapeChar=^A", "ConnectTimeout=1m30", "BatchMode=yes", "StdinNull=true", "HostName=10.0.0.1",
		"SendEnv=A B_*", "SendEnv C", `SetEnv A=1 B="two words"`, "SetEnv C=3", `ProxyCommand "a b" 'c'`, "ProxyCommand none",
	} {
		if err := inv.keyword(arg); err != nil {
			t.Fatalf("%q: %v", arg, err)
		}
	}
	got := []any{
		inv.level.value, inv.tty.value, inv.escape.value, inv.connectTimeout.value, inv.batchMode.value, inv.stdinNull.value,
		inv.hostName.value, inv.sendEnv, inv.setEnv.value, inv.proxyCommand.value,
	}
	want := []any{
		levelDebug, ttyForce, escapeKey(1), 90 * time.Second, true, true,
		"10.0.0.1",
		[]string{"A", "B_*", "C"},
		[]string{"A=1", "B=two words"},
		`"a b" 'c'`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every keyword that ssh knows is taken, and none is in both lists.
func TestKeywordsKnown(t *testing.T) {
	for key := range strings.FieldsSeq(passiveKeywords) {
		if keywordAction(key) != nil {
			t.Errorf("%s acts and is passive", key)
		}
		if err := (&invocation{}).keyword(key + "=some thing"); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, key := range []string{
		"batchmode", "clearallforwardings", "connecttimeout", "dynamicforward", "escapechar", "forkafterauthentication", "forwardagent",
		"hostname", "localcommand", "localforward", "loglevel", "permitlocalcommand", "port", "proxycommand", "proxyjump", "remotecommand",
		"remoteforward", "requesttty", "sendenv", "sessiontype", "setenv", "stdinnull", "user",
	} {
		if keywordAction(key) == nil {
			t.Errorf("%s does not act", key)
		}
	}
}

// What this version cannot do is said, and only where going on would mislead.
func TestCannot(t *testing.T) {
	for _, c := range []struct {
		words   string
		refusal string // in the error; empty if the command runs
		warning string
	}{
		{words: "-L 1:h:2 host", refusal: "-L and all forwarding"},
		{words: "-R 1:h:2 host", refusal: "-R"},
		{words: "-D 1 host", refusal: "-D"},
		{words: "-oLocalForward=1 host", refusal: "localforward"},
		{words: "-oClearAllForwardings=yes -L 1:h:2 host"},
		{words: "-W a:1 host", refusal: "-W"},
		{words: "-J a host", refusal: "-J"},
		{words: "-oProxyJump=a host", refusal: "ProxyJump"},
		{words: "-J none host"},
		{words: "-N host", refusal: "without a command"},
		{words: "-f host", refusal: "-f"},
		{words: "-oForkAfterAuthentication=yes host", refusal: "-f"},
		{words: "-oForkAfterAuthentication=no host"},
		{words: "-s host sftp"},
		{words: "-oSessionType=none host", refusal: "without a command"},
		{words: "-oSessionType=default host"},
		{words: "-G host", refusal: "-G"},
		{words: "-Q cipher host", refusal: "-Q"},
		{words: "-O check host", refusal: "-O"},
		{words: "-oPermitLocalCommand=yes host"},
		{words: "-oLocalCommand=x host"},
		{words: "-oPermitLocalCommand=yes -oLocalCommand=x host", refusal: "LocalCommand"},
		{words: "-A host", warning: "-A has no effect"},
		{words: "-oForwardAgent=yes host", warning: "has no effect"},
		{words: "-oForwardAgent=$SSH_AUTH_SOCK host", warning: "has no effect"},
		{words: "-oForwardAgent=no host"},
		{words: "-M host", warning: "-M has no effect"},
		{words: "-S /x host", warning: "-S has no effect"},
		{words: "-S none host"},
		{words: "-F cfg host", warning: "-F has no effect"},
		{words: "-F /dev/null host"},
		{words: "-xXYyaCkK246g -c a -m b -i k -b 1 -B 2 -I 3 -P t host"},
		{words: "-oControlMaster=auto -oControlPath=/x -oControlPersist=60s host"},
	} {
		inv, err := parseArgs(strings.Fields(c.words), false)
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		f := inv.cannot()
		switch {
		case c.refusal == "" && f != nil:
			t.Errorf("%s: refused: %v", c.words, f)
		case c.refusal != "" && (f == nil || !strings.Contains(f.msg, c.refusal) || !strings.Contains(f.msg, "not in this version") || f.hint == ""):
			t.Errorf("%s: got %+v, want %q", c.words, f, c.refusal)
		}
		if got := strings.Join(inv.warnings, "\n"); (c.warning == "") != (got == "") || !strings.Contains(got, c.warning) {
			t.Errorf("%s: warnings %q, want %q", c.words, got, c.warning)
		}
	}
}

func TestSplitQuoted(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"  ", nil},
		{"a b\tc", []string{"a", "b", "c"}},
		{`"a b" c`, []string{"a b", "c"}},
		{`'a "b"' c`, []string{`a "b"`, "c"}},
		{`a\ b`, []string{"a b"}},
		{`"a\"b"`, []string{`a"b`}},
		{`a\\b`, []string{`a\b`}},
		{`a\nb`, []string{`a\nb`}},
		{`""`, []string{""}},
		{`x""y`, []string{"xy"}},
	} {
		got, err := splitQuoted(c.in)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%q: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
	}{
		{"0", 0},
		{"10", 10 * time.Second},
		{"1m", time.Minute},
		{"1h30M", 90 * time.Minute},
		{"1d", 24 * time.Hour},
		{"2w", 14 * 24 * time.Hour},
		{"1m30", 90 * time.Second},
	} {
		if got, err := parseTime(c.in); err != nil || got != c.want {
			t.Errorf("ssh %q: %v, %v, want %v", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "x", "1x", "-1", "1.5", "m", "99999999999", "2147483647w"} {
		if got, err := parseTime(in); err == nil {
			t.Errorf("ssh %q: %v", in, got)
		}
	}
	for _, c := range []struct {
		in   string
		want time.Duration
	}{
		{"5", 5 * time.Second}, {"0.25", 250 * time.Millisecond}, {"1m30s", 90 * time.Second}, {"0", 0}, {"2h", 2 * time.Hour},
	} {
		if got, err := parseDuration(c.in); err != nil || got != c.want {
			t.Errorf("long %q: %v, %v, want %v", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "x", "-1", "-1s", "NaN", "Inf", "1e300", "5x", "100000000h"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("long %q: %v", in, got)
		}
	}
}

func FuzzKeyword(f *testing.F) {
	for _, c := range []string{"User=bob", `SetEnv A=1 B="x y"`, "ConnectTimeout 1m30", "ProxyCommand=x %h", `IdentityFile="/k"`, "=", `a"`} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		inv := &invocation{}
		if err := inv.keyword(arg); err == nil {
			for _, entry := range inv.setEnv.value {
				if checkEnv(entry) != nil {
					t.Fatalf("%q: set %q", arg, entry)
				}
			}
		}
	})
}

// A key is said as it was typed, and what may have been meant.
func TestKeywordMistakes(t *testing.T) {
	for arg, want := range map[string]string{
		"StrictHostKeyCheckin=no": "bad configuration option: StrictHostKeyCheckin; is it StrictHostKeyChecking? rex -o StrictHostKeyChecking=VALUE HOST command",
		"IdentityFiles=x":         "bad configuration option: IdentityFiles; is it IdentityFile? rex -o IdentityFile=VALUE HOST command",
		"Nonsense=x":              "bad configuration option: Nonsense; rex help",
		"Usr=x":                   "bad configuration option: Usr; rex help",
		"BatchMode=perhaps":       `-o BatchMode: unknown value "perhaps"; one of: false no true yes`,
		"IDENTITYagent=a b":       "-o IDENTITYagent takes one value; rex help",
		"connectTimeout=5x":       `-o connectTimeout: bad time "5x"; rex -o ConnectTimeout=10 HOST command`,
	} {
		f := asFailure((&invocation{}).keyword(arg))
		if got := f.msg + "; " + f.hint; got != want {
			t.Errorf("%s:\n got %s\nwant %s", arg, got, want)
		}
	}
	for key := range strings.FieldsSeq(activeKeywords) {
		if keywordAction(strings.ToLower(key)) == nil {
			t.Errorf("%s does nothing", key)
		}
	}
}
