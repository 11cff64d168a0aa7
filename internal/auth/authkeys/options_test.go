package authkeys

import (
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a time zone to parse in, on machines without

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// with is the options of a line without any, changed.
func with(change func(*Options)) Options {
	o := Options{Capabilities: everything(), TouchRequired: true}
	change(&o)
	return o
}

func TestOptions(t *testing.T) {
	command := func(s string) Options { return with(func(o *Options) { o.Command = &s }) }
	expiry := func(at time.Time) Options { return with(func(o *Options) { o.Expiry = at }) }
	for in, want := range map[string]Options{
		``:                                   with(func(*Options) {}),
		`,,`:                                 with(func(*Options) {}),
		`pty,`:                               with(func(*Options) {}),
		`no-pty`:                             with(func(o *Options) { o.PTY = false }),
		`NO-Pty`:                             with(func(o *Options) { o.PTY = false }),
		`no-pty,pty`:                         with(func(*Options) {}),
		`no-X11-forwarding`:                  with(func(o *Options) { o.X11Forwarding = false }),
		`no-agent-forwarding`:                with(func(o *Options) { o.AgentForwarding = false }),
		`no-port-forwarding`:                 with(func(o *Options) { o.PortForwarding = false }),
		`no-user-rc`:                         with(func(o *Options) { o.UserRC = false }),
		`restrict`:                           with(func(o *Options) { o.Restrict, o.Capabilities = true, Capabilities{} }),
		`pty,restrict`:                       with(func(o *Options) { o.Restrict, o.Capabilities = true, Capabilities{} }),
		`restrict,pty`:                       with(func(o *Options) { o.Restrict, o.Capabilities = true, Capabilities{PTY: true} }),
		`verify-required`:                    with(func(o *Options) { o.VerifyRequired = true }),
		`verify-required,no-touch-required`:  with(func(o *Options) { o.VerifyRequired = true }),
		`verify-required,no-verify-required`: with(func(*Options) {}),
		`touch-required`:                     with(func(*Options) {}),
		`cert-authority`:                     with(func(o *Options) { o.CertAuthority = true }),
		`principals="a,b c",cert-authority`:  with(func(o *Options) { o.CertAuthority, o.Principals = true, []string{"a", "b c"} }),
		`command=""`:                         command(""),
		`COMMAND="a, b \"c\" \d\\"` + `"`:    command(`a, b "c" \d\"`),
		`environment="A=1=2",environment="_b=",environment="A=3"`: with(func(o *Options) { o.Environment = []string{"A=1=2", "_b="} }),
		`environment="AB=1",environment="A=2"`:                    with(func(o *Options) { o.Environment = []string{"AB=1", "A=2"} }),
		`permitopen="h:1",permitopen="[::1]:*"`:                   with(func(o *Options) { o.PermitOpen = []string{"h:1", "[::1]:*"} }),
		`permitlisten="80",permitlisten="*:65535"`:                with(func(o *Options) { o.PermitListen = []string{"*:80", "*:65535"} }),
		`tunnel="any"`:                 with(func(o *Options) { o.Tunnel = "any" }),
		`tunnel="2147483645"`:          with(func(o *Options) { o.Tunnel = "2147483645" }),
		`tunnel="0"`:                   with(func(o *Options) { o.Tunnel = "0" }),
		`expiry-time="20300102Z"`:      expiry(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)),
		`expiry-time="203001020304Z"`:  expiry(time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)),
		`expiry-time="20300102030405"`: expiry(time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)),
	} {
		got, err := parseOptions(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", in, diff)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for in, want := range map[string]string{
		`ptx`:                            `unknown option "ptx"`,
		`ptyx`:                           `unknown option`,
		` pty`:                           `unknown option " pty"`,
		`no-restrict`:                    `unknown option`,
		`no-cert-authority`:              `unknown option`,
		`no-no-pty`:                      `unknown option`,
		`no-`:                            `unknown option`,
		`re\trict`:                       `unknown option`,
		`reſtrict`:                       `unknown option`, // folds to an s, in Unicode
		`pty="yes"`:                      `unknown option "pty="`,
		`pty=`:                           `unknown option "pty="`,
		`=""`:                            `unknown option "="`,
		`command`:                        `unknown option "command"`,
		`command =""`:                    `unknown option "command ="`,
		`no-command=""`:                  `unknown option`,
		"\x1b[2J\u009b":                  `unknown option "\x1b[2j\u009b"`,
		strings.Repeat("x", 9999):        `unknown option "` + strings.Repeat("x", 40) + `"`,
		`command=ls`:                     `command: its value is not in quotes`,
		`command='ls'`:                   `command: its value is not in quotes`,
		`command="ls`:                    `command: a quote is not closed`,
		`command="ls\"`:                  `command: a quote is not closed`,
		`command="ls"x`:                  `command: text behind the quotes`,
		`command="ls""x"`:                `command: text behind the quotes`,
		`command="a",command="a"`:        `command: given twice`,
		`command="",command="a"`:         `command: given twice`,
		`from="::1",from="::1"`:          `from: given twice`,
		`from=""`:                        `from: an empty pattern`,
		`principals="a"`:                 `principals: not without cert-authority`,
		`cert-authority,principals=""`:   `principals: an empty name`,
		`cert-authority,principals="a,"`: `principals: an empty name`,
		`cert-authority,principals="` + strings.Repeat("a,", 40) + `a"`: `principals: 41 names exceed 40`,
		`cert-authority,principals="a",principals="b"`:                  `principals: given twice`,
		`expiry-time="20300101Z",expiry-time="20300101Z"`:               `expiry-time: given twice`,
		`tunnel="1",tunnel="1"`:                                         `tunnel: given twice`,
		`tunnel=""`:                                                     `tunnel: bad device`,
		`tunnel="2147483646"`:                                           `tunnel: bad device`,
		`tunnel="+1"`:                                                   `tunnel: bad device`,
		`environment="A"`:                                               `environment: not NAME=value`,
		`environment="=b"`:                                              `environment: not NAME=value`,
		`environment="1A=b"`:                                            `environment: not NAME=value`,
		`environment="A-B=b"`:                                           `environment: not NAME=value`,
		`environment="Ä=b"`:                                             `environment: not NAME=value`,
		`permitopen="h"`:                                                `permitopen: not host:port`,
		`permitopen=":1"`:                                               `permitopen: not host:port`,
		`permitopen="[::1]"`:                                            `permitopen: not host:port`,
		`permitopen="h/1:1"`:                                            `permitopen: not host:port`,
		`permitopen="::1:1"`:                                            `permitopen: not host:port`,
		`permitopen="h:0"`:                                              `permitopen: bad port "0"`,
		`permitopen="h:65536"`:                                          `permitopen: bad port "65536"`,
		`permitopen="h:http"`:                                           `permitopen: bad port "http"`,
		`permitopen="h:"`:                                               `permitopen: bad port ""`,
		`permitlisten=""`:                                               `permitlisten: bad port ""`,
	} {
		_, err := parseOptions(in)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestBadExpiry(t *testing.T) {
	for _, in := range []string{
		``, `Z`, `2030`, `2030010`, `203001011`, `2030010112Z`, `20301301`, `20300230`, `20300101z`, `20300101UTC`,
		`20300101ZZ`, `203001012400`, `203001010060`, `20300101000060`, `203001010000.5`, `+2030101`, ` 2030101`,
		`2030 1 1`, `19700101Z`, `19691231Z`, `00000000`, `２０３００１０１`,
	} {
		if at, err := parseExpiry(in, time.UTC); err == nil {
			t.Errorf("%q is %s", in, at)
		}
	}
}

// Where mktime(3) without knowledge of summer time is an hour late, or a time is
// there twice or not at all, the earlier one counts.
func TestExpiryInSummer(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for in, latest := range map[string]string{
		"203001011200": "2030-01-01T11:00:00Z",
		"203007011200": "2030-07-01T10:00:00Z",
		"203003310230": "2030-03-31T01:30:00Z",
		"203010270230": "2030-10-27T01:30:00Z",
		"20300701Z":    "2030-07-01T00:00:00Z",
	} {
		got, err := parseExpiry(in, berlin)
		want, _ := time.Parse(time.RFC3339, latest)
		if err != nil || got.After(want) || want.Sub(got) > time.Hour {
			t.Errorf("%s: %s, %v", in, got.UTC(), err)
		}
	}
}

// A capability that is not in everything, not in named, or beside Capabilities
// fails here.
func TestCapabilities(t *testing.T) {
	names := map[string]string{
		"PTY": "pty", "AgentForwarding": "agent-forwarding", "PortForwarding": "port-forwarding",
		"X11Forwarding": "x11-forwarding", "UserRC": "user-rc",
	}
	all := reflect.ValueOf(everything())
	for i := range all.NumField() {
		field := all.Type().Field(i)
		if field.Type.Kind() != reflect.Bool || !all.Field(i).Bool() {
			t.Errorf("%s is not there without options", field.Name)
		}
		for options, want := range map[string]bool{
			"": true, "restrict": false, "no-%": false, "%,restrict": false, "restrict,%": true, "restrict,no-%": false,
		} {
			o, err := parseOptions(strings.ReplaceAll(options, "%", names[field.Name]))
			if got := reflect.ValueOf(o.Capabilities).Field(i).Bool(); err != nil || got != want {
				t.Errorf("%s with %s: %v, %v", field.Name, options, got, err)
			}
		}
	}
	for f := range reflect.TypeFor[Options]().Fields() {
		switch f.Name {
		case "CertAuthority", "Restrict", "VerifyRequired", "TouchRequired": // grant nothing
		default:
			if f.Type.Kind() == reflect.Bool {
				t.Errorf("%s is not in Capabilities: does restrict clear it?", f.Name)
			}
		}
	}
}

// Whatever else a line says, restrict in front adds no capability, behind leaves
// none, and anywhere changes nothing else.
func TestRestrictIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.SampledFrom([]string{
			"restrict", "pty", "no-pty", "agent-forwarding", "no-agent-forwarding", "port-forwarding",
			"no-port-forwarding", "x11-forwarding", "no-x11-forwarding", "user-rc", "no-user-rc",
			`environment="A=1"`, `environment="B=1"`, "verify-required", "no-touch-required", `permitopen="a:1"`,
		})).Draw(t, "options")
		at := rapid.IntRange(0, len(list)).Draw(t, "at")
		before, err := parseOptions(strings.Join(list, ","))
		if err != nil {
			t.Fatal(err)
		}
		more := append(append(append([]string{}, list[:at]...), "restrict"), list[at:]...)
		after, err := parseOptions(strings.Join(more, ","))
		if err != nil {
			t.Fatal(err)
		}
		a, b := reflect.ValueOf(after.Capabilities), reflect.ValueOf(before.Capabilities)
		for i := range a.NumField() {
			if a.Field(i).Bool() && (!b.Field(i).Bool() || at == len(list)) {
				t.Fatalf("restrict at %d adds %s", at, a.Type().Field(i).Name)
			}
		}
		before.Capabilities, before.Restrict = after.Capabilities, true
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatal(diff)
		}
	})
}
