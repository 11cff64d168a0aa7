package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs the program with files as its streams.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	env := Env{
		Args: args, Stdin: open("in"), Stdout: open("out"), Stderr: open("err"),
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
	}
	status = Main(env)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return status, read("out"), read("err")
}

func TestMainOwnOutput(t *testing.T) {
	for _, c := range []struct {
		args   []string
		stdout string
		stderr string
	}{
		{[]string{"rex", "--version"}, "rex devel, protocol 1, ", ""},
		{[]string{"rex", "version"}, "rex devel, protocol 1, ", ""},
		{[]string{"rex", "version", "--json"}, `{"version":"devel",`, ""},
		{[]string{"rex", "-V"}, "", "rex devel, protocol 1, "},
		{[]string{"ssh", "-V"}, "", "rex devel, protocol 1, "},
		{[]string{"rex", "help"}, "rex runs a command", ""},
		{[]string{"rex", "help", "exec"}, "rex runs a command", ""},
		{[]string{"rex", "--help"}, "rex runs a command", ""},
		{[]string{"rex", "exec", "--help"}, "rex runs a command", ""},
		{[]string{"rex", "completion", "bash"}, "# bash completion", ""},
		{[]string{"rex", "completion", "zsh"}, "#compdef rex", ""},
		{[]string{"rex", "completion", "fish"}, "# fish completion", ""},
		{[]string{"rex", "completion", "powershell"}, "# powershell completion", ""},
		{[]string{"rex", "__complete", ""}, "completion\t", "Completion ended"},
		{[]string{"rex", "__complete", "-T", "lo"}, "local:\t", "Completion ended"},
		{[]string{"rex", "__complete", "exec", "--sta"}, "--status-file\twrite", "Completion ended"},
		{[]string{"rex", "__complete", "local:", "--sta"}, ":0", "Completion ended"},
	} {
		status, stdout, stderr := run(t, c.args...)
		if status != 0 || !strings.HasPrefix(stdout, c.stdout) || !strings.HasPrefix(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("%q: %d\n%.200s\n%s", c.args, status, stdout, stderr)
		}
	}
}

func TestMainFailures(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"rex"}, "no host given"},
		{nil, "no host given"},
		{[]string{"ssh", "-q", "-i/no/such", "exec", "local:"}, "no key to log in with"}, // a host named exec
		{[]string{"ssh", "--timeout", "5", "local:"}, "unknown option --"},
		{[]string{"rex", "-q", "-i/no/such", "--", "exec", "x"}, "no key to log in with"},
		{[]string{"rex", "-q", "-i/no/such", "-T", "version"}, "no key to log in with"},
		{[]string{"rex", "cp", "a", "b"}, "rex cp is not in this version"},
		{[]string{"rex", "ping"}, "not in this version"},
		{[]string{"rex", "service"}, "no host"},
		{[]string{"rex", "service", "local:"}, "the name of a service is missing"},
		{[]string{"rex", "service", "local:", ""}, "the name of a service is missing"},
		{[]string{"rex", "service", "local:", "a", "b"}, "takes no arguments"},
		{[]string{"rex", "service", "--dir=/", "local:", "a"}, "--dir is not for it"},
		{[]string{"rex", "service", "-N", "local:", "a"}, "not in this version"},
		{[]string{"rex", "exec", "-s", "local:", "a"}, "rex exec and -s exclude each other"},
		{[]string{"rex", "-s", "local:"}, "the name of a service is missing"},
		{[]string{"rex", "exec"}, "no host"},
		{[]string{"rex", "exec", "local:"}, "needs a program"},
		{[]string{"rex", "exec", "local:", ""}, "needs a program"},
		{[]string{"rex", "exec", "-oRemoteCommand=x", "local:", "x"}, "exclude each other"},
		{[]string{"rex", "exec", "-Z", "local:"}, "unknown option -Z"},
		{[]string{"rex", "--json", "local:", "x"}, "--json is for rex version"},
		{[]string{"rex", "version", "x"}, "takes no"},
		{[]string{"rex", "version", "--nosuch"}, "nosuch"},
		{[]string{"rex", "-N", "local:"}, "not in this version"},
		{[]string{"rex", "-E", "/no/such/file", "local:", "x"}, "cannot write the log"},
		{[]string{"rex", "--status-file", "/no/such/file", "local:", "x"}, "cannot write the status file"},
	} {
		status, stdout, stderr := run(t, c.args...)
		first, second, _ := strings.Cut(stderr, "\n")
		if status != 255 || stdout != "" || !strings.HasPrefix(first, "rex: error: ") || !strings.Contains(first, c.want) ||
			!strings.HasPrefix(second, "rex: hint: ") {
			t.Errorf("%q: %d %q\n%s", c.args, status, stdout, stderr)
		}
	}
}

func TestMainStatusFileOfFailures(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		how  string
	}{
		"usage": {[]string{"-Z", "local:"}, howUsage},
		"later": {[]string{"-N", "local:"}, howUsage},
		"tcp":   {[]string{"-q", "-i/no/such", "host", "x"}, howLogin},
		"login": {[]string{"unix:" + dir + "/no.sock", "x"}, howLogin},
	} {
		file := filepath.Join(dir, name)
		status, _, stderr := run(t, append([]string{"rex", "--status-file", file}, c.args...)...)
		line, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got statusRecord
		if err := json.Unmarshal(line, &got); err != nil || got.Exit != 255 || status != 255 || got.How != c.how ||
			!strings.HasPrefix(stderr, "rex: error: "+got.Error+"\n") {
			t.Errorf("%s: %d %s %v\n%s", name, status, line, err, stderr)
		}
	}
}

// What rex says goes to the file of -E, and -q leaves errors.
func TestMainLogFile(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for range 2 {
		if status, _, stderr := run(t, "rex", "-q", "-E", log, "-A", "host", "x"); status != 255 || stderr != "" {
			t.Errorf("%d %q", status, stderr)
		}
	}
	got, err := os.ReadFile(log)
	if err != nil || strings.Count(string(got), "rex: error: ") != 2 || strings.Contains(string(got), "warning") {
		t.Errorf("%v\n%s", err, got)
	}
	if _, _, stderr := run(t, "rex", "-A", "host", "x"); !strings.HasPrefix(stderr, "rex: warning: ") {
		t.Errorf("%q", stderr)
	}
}

// Every flag and long option of the program is on its help page, and lines fit
// a terminal.
func TestHelp(t *testing.T) {
	text := helpText()
	for _, option := range []string{
		"-t", "-tt", "-T", "-n", "-q", "-v", "-l", "-p", "-e", "-E", "-o", "-V", "--timeout", "--drain", "--orphan", "--dir", "--env",
		"--status-file", "--json", "--log-level", "--version", "--help", "124", "126", "127", "255",
	} {
		if !strings.Contains(text, option) {
			t.Errorf("%s is missing", option)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 110 {
			t.Errorf("long line: %s", line)
		}
	}
}

func TestMainCannotWrite(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if status := Main(Env{Args: []string{"rex", "help"}, Stdin: null, Stdout: full, Stderr: null}); status != 255 {
		t.Errorf("status %d", status)
	}
}
