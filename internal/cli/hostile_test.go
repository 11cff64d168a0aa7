//go:build linux || darwin || freebsd

package cli

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostileNames has each forbidden byte at the front, in the middle and at the
// end of a name that is good without it, and what a shell or an option parser
// would make something else of.
func hostileNames(forbidden string, more ...string) []string {
	names := slices.Clone(more)
	var bad []string
	for c := range byte(' ' + 1) {
		bad = append(bad, string(rune(c)))
	}
	bad = append(bad, "\x7f", "\u0080", "\u009b", "\u00a0", "\x80", "\x9b", "\xff", "\xc3")
	for _, c := range forbidden {
		bad = append(bad, string(c))
	}
	for _, c := range bad {
		names = append(names, c+"name", "na"+c+"me", "name"+c)
	}
	return names
}

// A spelling is a way to say a name on the command line; %s is where it stands.
type spelling struct {
	option []string // before the host
	host   string
	encode func(string) string
	except []string // names that mean something else in that place
}

// with is the command line's end, for a name.
func (s spelling) with(name string) []string {
	if s.encode != nil {
		name = s.encode(name)
	}
	var args []string
	for _, o := range s.option {
		args = append(args, strings.ReplaceAll(o, "%s", name))
	}
	return append(args, "--", strings.ReplaceAll(s.host, "%s", name), "id")
}

var hostSpellings = map[string]spelling{
	"host":      {host: "%s", except: []string{"na@me"}}, // a user and a host
	"user@host": {host: "bob@%s", except: []string{"na@me", "@name"}},
	"port":      {host: "%s:22", except: []string{"na@me"}},
	"brackets":  {host: "[%s]"},
	"URL":       {host: "ssh://%s", except: []string{"na@me", "name/"}}, // the end of a URL
	"HostName":  {option: []string{`-oHostName="%s"`}, host: "name"},
	"two words": {option: []string{"-o", `hostname = "%s"`}, host: "name"},
}

var userSpellings = map[string]spelling{
	"user@host":   {host: "%s@name", except: []string{"unix:name"}},
	"-l":          {option: []string{"-l", "%s"}, host: "name"},
	"-lname":      {option: []string{"-l%s"}, host: "name"},
	"User":        {option: []string{`-oUser="%s"`}, host: "name"},
	"URL":         {host: "ssh://%s@name", encode: url.PathEscape},
	"encoded URL": {host: "ssh://%s@name", encode: everyByte},
}

// everyByte encodes every byte as in a URL.
func everyByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// A bait is a ProxyCommand that leaves a file where it is run, whatever else the
// shell makes of it.
type bait struct{ file, option string }

func newBait(t *testing.T) bait {
	file := filepath.Join(t.TempDir(), "marker")
	return bait{file, "-oProxyCommand=touch " + file + "; x %h %n %r"}
}

// taken reports whether it was run.
func (b bait) taken() bool {
	return os.Remove(b.file) == nil
}

// TestHostileNames: no name with a byte that a shell, an option parser or a
// terminal could take for more is given to a program, however it is said.
func TestHostileNames(t *testing.T) {
	b := newBait(t)
	refused := 0
	try := func(spellings map[string]spelling, names []string) {
		for how, s := range spellings {
			if _, _, stderr := run(t, append([]string{"rex", b.option}, s.with("name")...)...); !b.taken() {
				t.Errorf("%s: a good name is not taken: %s", how, stderr)
			}
			for i, name := range names {
				if slices.Contains(s.except, name) || testing.Short() && i%10 > 0 {
					continue
				}
				refused++
				b.refuses(t, how, name, s.with(name))
			}
		}
	}
	try(hostSpellings, hostileNames("'`\"\\$;&<>|(){}[]*?,/@", "-name", "-oProxyCommand=x", "--", "", "$(touch evil)", "name\nProxyCommand x", "\x1b[2J"))
	try(userSpellings, hostileNames("'`\"\\$;&<>|(){},:/", "-name", "-oProxyCommand=x", "--", "", "$(touch evil)", "a\u202eb", strings.Repeat("n", 257)))
	t.Logf("%d command lines were refused", refused)
	if refused < 200 && !testing.Short() {
		t.Error("too few names")
	}
}

// refuses demands status 255 and one line, with nothing raw in it, and at most a
// hint.
func (b bait) refuses(t *testing.T, how, name string, args []string) {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"rex", b.option}, args...)...)
	if b.taken() {
		t.Errorf("%s: %q was given to the ProxyCommand", how, name)
	}
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if status != 255 || stdout != "" || !strings.HasPrefix(lines[0], "rex: error: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "rex: hint: ") {
		t.Errorf("%s: %q: status %d, %q\n%s", how, name, status, stdout, stderr)
	}
	if strings.ContainsFunc(strings.Join(lines, ""), func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 || r == 0xfffd }) {
		t.Errorf("%s: %q: raw: %q", how, name, stderr)
	}
}
