//go:build unix

package integration

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The conventions of CONTRIBUTING.md, as far as a program can check them.
const (
	maxFileLines   = 500
	maxFuncLines   = 120
	p90FuncLines   = 45
	medianFuncLine = 12
)

// TestFormatted: gofmt has nothing to say.
func TestFormatted(t *testing.T) {
	for _, f := range goFiles(t) {
		want, err := format.Source(f.text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.text, want) {
			t.Errorf("%s is not formatted: gofmt -w %s", f.name, f.name)
		}
	}
}

// TestPackageComments: every package says in doc.go, and only there, why it
// exists; a program may say so in main.go.
func TestPackageComments(t *testing.T) {
	found := make(map[string][]string)
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if found[f.pkg] == nil {
			found[f.pkg] = []string{}
		}
		if f.ast.Doc != nil && !isOnlyDirectives(f.ast.Doc) {
			found[f.pkg] = append(found[f.pkg], f.name)
		}
	}
	for pkg, files := range found {
		allowed := []string{pkg + "/doc.go"}
		if strings.HasPrefix(pkg, "cmd/") {
			allowed = append(allowed, pkg+"/main.go")
		}
		if len(files) != 1 || !slices.Contains(allowed, files[0]) {
			t.Errorf("%s has its package comment in %v, want one in %s", pkg, files, allowed[0])
		}
	}
}

func isOnlyDirectives(doc *ast.CommentGroup) bool { return strings.TrimSpace(doc.Text()) == "" }

// TestFileLengths: a file that grows beyond the bound holds two things.
func TestFileLengths(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := bytes.Count(f.text, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", f.name, n, maxFileLines)
		}
	}
}

// TestFunctionLengths: short functions are the constant of good Go.
func TestFunctionLengths(t *testing.T) {
	var all []int
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			all = append(all, n)
			if n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, at most %d", f.at(fn), fn.Name.Name, n, maxFuncLines)
			}
		}
	}
	slices.Sort(all)
	median, p90 := all[len(all)/2], all[len(all)*9/10]
	t.Logf("%d functions: median %d lines, 90 %% within %d, longest %d", len(all), median, p90, all[len(all)-1])
	if median > medianFuncLine || p90 > p90FuncLines {
		t.Errorf("median %d and 90 %% within %d lines, want %d and %d", median, p90, medianFuncLine, p90FuncLines)
	}
}

// TestNoTracesOfMachines: nothing that is only true where it was written.
func TestNoTracesOfMachines(t *testing.T) {
	homes := regexp.MustCompile(`(^|[^\w.~/-])/(work|farm|Users|root|home/\w+)/\w`)
	hosts := regexp.MustCompile(`\b(proxy|sum|goproxy|registry|deb|security|mirrors?)\.[\w-]+\.(org|com|io|net|cn)\b`)
	for _, name := range trackedFiles(t) {
		text, err := os.ReadFile(filepath.Join(moduleRoot(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []*regexp.Regexp{homes, hosts} {
			if at := pattern.FindIndex(text); at != nil {
				line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
				t.Errorf("%s:%d: %q names a machine or a host of packages", name, line, text[at[0]:at[1]])
			}
		}
	}
}

// TestDocumentsAreThere: the files that visitors look for, and what they link
// to in this repository.
func TestDocumentsAreThere(t *testing.T) {
	files := trackedFiles(t)
	for name, text := range map[string]string{
		"README.md": "# rex", "CHANGELOG.md": "## Unreleased", "CONTRIBUTING.md": "go test", "LICENSE": "Apache License",
		"docs/design.md": "## Measured", "proto/PROTOCOL.md": "# The rex protocol", ".ci/run": "set -euo pipefail",
	} {
		if got := document(t, name); !strings.Contains(got, text) {
			t.Errorf("%s does not say %q", name, text)
		}
	}
	link := regexp.MustCompile(`\]\(([^)\s#:]+)(#[^)\s]*)?\)`)
	for _, name := range files {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(document(t, name), -1) {
			target := path.Join(path.Dir(name), m[1])
			if _, err := os.Stat(filepath.Join(moduleRoot(t), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManPages: the pages describe the options that the programs have, and no
// others.
func TestManPages(t *testing.T) {
	for _, c := range []struct {
		program, page string
		commands      []string // with options of their own
	}{
		{"rex", "docs/rex.1.md", []string{""}},
		{"rexd", "docs/rexd.8.md", []string{"", "service run "}},
	} {
		var helps []byte
		for _, command := range c.commands {
			out, err := exec.Command(program(t, c.program), strings.Fields(command+"--help")...).Output()
			if err != nil {
				t.Fatal(err)
			}
			helps = append(helps, out...)
		}
		help, page := longOptions(string(helps)), longOptions(document(t, c.page))
		for option := range help {
			if !page[option] {
				t.Errorf("%s does not describe %s", c.page, option)
			}
		}
		for option := range page {
			if !help[option] {
				t.Errorf("%s describes %s, which %s --help does not have", c.page, option, c.program)
			}
		}
	}
}

// longOptions are the options with two dashes that begin a line of a text, but
// for blanks and the marks of Markdown.
func longOptions(text string) map[string]bool {
	found := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^[ *]*(--[a-z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return found
}

// example is a fenced block of a document whose preceding line is a mark, such
// as <!-- test -->.
type example struct {
	mark, language, text string
	output               *example // the next block, if its mark is one of output
}

// examples returns the marked blocks of a document.
func examples(doc string) (list []*example) {
	block := regexp.MustCompile("(?ms)^<!-- ([a-z ]+) -->\n```(\\w+)\n(.*?)^```$")
	for _, m := range block.FindAllStringSubmatch(doc, -1) {
		e := &example{mark: m[1], language: m[2], text: m[3]}
		if strings.HasPrefix(e.mark, "output") && len(list) > 0 {
			list[len(list)-1].output = e
			continue
		}
		list = append(list, e)
	}
	return list
}

// TestREADME runs the examples of README.md that are marked with <!-- test -->,
// and compares what they print with the block that follows, if that is marked
// with <!-- output -->, or with <!-- output keys --> for JSON of which only the
// keys are the same.
func TestREADME(t *testing.T) {
	var tested int
	for _, e := range examples(document(t, "README.md")) {
		if e.mark != "test" {
			continue
		}
		tested++
		name, _, _ := strings.Cut(e.text, "\n")
		t.Run(name, func(t *testing.T) {
			switch e.language {
			case "sh":
				e.check(t, runShell(t, socketDir(t), e.text))
			case "go":
				e.check(t, runLibraryExample(t, e.text))
			default:
				t.Fatalf("cannot run %s", e.language)
			}
		})
	}
	if tested < 5 {
		t.Errorf("only %d examples of README.md are tested", tested)
	}
}

// TestREADMECommandOfCI: CI runs the command that README.md names for the
// tests, and takes it from there.
func TestREADMECommandOfCI(t *testing.T) {
	var commands []string
	for _, e := range examples(document(t, "README.md")) {
		if e.mark == "ci" {
			commands = append(commands, e.text)
		}
	}
	if len(commands) != 1 || !strings.HasPrefix(commands[0], "go test ") {
		t.Errorf("README.md marks %q with <!-- ci -->, want one go test command", commands)
	}
	if !strings.Contains(document(t, ".ci/run"), "<!-- ci -->") {
		t.Error(".ci/run does not take the command from README.md")
	}
}

// check compares what an example printed.
func (e *example) check(t *testing.T, stdout string) {
	t.Helper()
	switch {
	case e.output == nil:
	case e.output.mark == "output keys":
		var got, want map[string]any
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		if err := json.Unmarshal([]byte(e.output.text), &want); err != nil {
			t.Fatal(err)
		}
		if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
			t.Errorf("keys %q, want %q", g, w)
		}
	case stdout != e.output.text:
		t.Errorf("it printed\n%s\nand not\n%s", stdout, e.output.text)
	}
}

// runShell runs lines of sh in the repository, with the built programs first in
// PATH and a home of its own. A line that starts a daemon is given the time to
// listen, which a person who types the next one gives it too. What still runs
// at the end is killed.
func runShell(t *testing.T, home, lines string) (stdout string) {
	t.Helper()
	daemon := regexp.MustCompile(`(?m)^(rexd .*unix:(\S+) .*&)$`)
	lines = daemon.ReplaceAllString(lines, "$1\nuntil [ -S $2 ]; do sleep 0.05; done")
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", lines)
	cmd.Dir = moduleRoot(t)
	cmd.Env = append(os.Environ(), goEnvironment(t)...)
	cmd.Env = append(cmd.Env, "HOME="+home, "GOBIN="+home, "PATH="+filepath.Dir(program(t, "rex"))+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Start(); e != nil {
		t.Fatal(e)
	}
	timer := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	e := cmd.Wait()
	timer.Stop()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if e != nil {
		t.Fatalf("%v\n%s\nstdout:\n%s\nstderr:\n%s", e, lines, out.Bytes(), err.Bytes())
	}
	return out.String()
}

// goEnvironment is what makes the go command work as before in another home.
func goEnvironment(t *testing.T) (env []string) {
	t.Helper()
	names := []string{"GOCACHE", "GOENV", "GOMODCACHE", "GOPATH"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := strings.Split(string(out), "\n")
	for i, name := range names {
		env = append(env, name+"="+values[i])
	}
	return env
}

// runLibraryExample runs a program of the README beside a daemon that listens
// where the program expects it.
func runLibraryExample(t *testing.T, text string) (stdout string) {
	t.Helper()
	home := socketDir(t)
	file := filepath.Join(home, "main.go")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return runShell(t, home, "rexd --listen unix:$HOME/rexd.sock &\ngo run "+file+"\nkill $!\n")
}
