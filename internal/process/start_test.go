//go:build unix

package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExactArguments(t *testing.T) {
	every := make([]byte, 0, 255)
	for b := 1; b < 256; b++ {
		every = append(every, byte(b))
	}
	cases := map[string][]string{
		"empty and blank":   {"", " ", "", "\t"},
		"newlines":          {"a\nb", "\n", "c\n"},
		"quotes":            {`'`, `"`, "`", `\`, `$(x)`, `*`, `-n`, "--"},
		"every byte":        {string(every), "\xff\xfe", "\x80"},
		"longest one":       {strings.Repeat("x", 131071)},
		"1.9 MB":            slices.Repeat([]string{strings.Repeat("y", 99_991)}, 19),
		"100,000 arguments": slices.Repeat([]string{"z"}, 100_000),
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		for name, args := range cases {
			t.Run(name, func(t *testing.T) {
				spec := command(append([]string{"printf", `%s\000`}, args...)...)
				spec.Env = []string{"PATH=" + os.Getenv("PATH")}
				got, _ := runOutput(t, s, spec)
				want := strings.Join(args, "\x00") + "\x00"
				if sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(want)) {
					t.Errorf("%d bytes arrived, %d sent; they begin %.60q and %.60q", len(got), len(want), got, want)
				}
			})
		}
	})
}

func TestEnvironmentAndDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(dir, "a b\nc\xff")
	if err := os.Mkdir(strange, 0o755); err != nil {
		t.Skipf("no such directory names here: %v", err)
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		env := []string{"A=1", "A=2", "EMPTY=", "no-equals", "B=x\ny\xff", "=odd"}
		spec := command("/usr/bin/env", "-0")
		spec.Env = env
		if got, _ := runOutput(t, s, spec); got != strings.Join(env, "\x00")+"\x00" {
			t.Errorf("environment %q, want %q", got, env)
		}
		spec.Env = nil
		if got, _ := runOutput(t, s, spec); got != "" {
			t.Errorf("environment %q, want none", got)
		}
		spec = command("/bin/pwd", "-P")
		for _, dir := range []string{dir, strange, "", "."} {
			spec.Dir = dir
			want := dir
			if !filepath.IsAbs(dir) {
				want, _ = os.Getwd()
			}
			if got, _ := runOutput(t, s, spec); got != want+"\n" {
				t.Errorf("directory %q: %q, want %q", dir, got, want)
			}
		}
	})
}

func TestProgramLookup(t *testing.T) {
	dir := t.TempDir()
	script := func(name, body string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("here", "#!/bin/sh\necho here")
	script("bin/tool", "#!/bin/sh\necho tool")
	script("sub/dir/tool", "#!/bin/sh\necho deep")
	if err := os.Mkdir(filepath.Join(dir, "sub/tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ path, search, want string }{
		{"./here", "", "here"},
		{"bin/tool", "/nonexistent", "tool"},
		{"here", ":/nonexistent", "here"},            // an empty element is the directory
		{"tool", "bin:sub/dir", "tool"},              // relative elements are relative to it
		{"tool", "sub:/nonexistent:sub/dir", "deep"}, // directories are passed over
		{filepath.Join(dir, "here"), "", "here"},
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, c := range cases {
			spec := command(c.path)
			spec.Dir, spec.Env = dir, []string{"PATH=" + c.search, "PATH=/never"}
			if got, _ := runOutput(t, s, spec); got != c.want+"\n" {
				t.Errorf("%q with PATH %q: %q, want %q", c.path, c.search, got, c.want)
			}
		}
		spec := command("sh", "-c", "echo default")
		spec.Env = nil // without PATH there is a default
		if got, _ := runOutput(t, s, spec); got != "default\n" {
			t.Errorf("without PATH: %q", got)
		}
		spec = shell(`echo "$0"`)
		spec.Args = []string{"other name", "-c", `echo "$0"`}
		if got, _ := runOutput(t, s, spec); got != "other name\n" {
			t.Errorf("argv[0] %q", got)
		}
	})
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, body string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(body), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "#!/bin/sh\n", 0o644)
	garbage := file("garbage", "\x00\x01\x02", 0o755)
	orphan := file("orphan", "#!/no/such/interpreter -x\n", 0o755)
	big := slices.Repeat([]string{strings.Repeat("x", 100_000)}, 100)
	cases := []struct {
		name string
		spec Spec
		code string
		is   error
		says string
	}{
		{"nothing of that name", Spec{Path: "no-such-program-anywhere"}, CodeNotFound, syscall.ENOENT, "no-such-program-anywhere"},
		{"no such file", Spec{Path: dir + "/none"}, CodeNotFound, syscall.ENOENT, "none"},
		{"a file on the way", Spec{Path: plain + "/x"}, CodeNotFound, syscall.ENOTDIR, ""},
		{"empty name", Spec{Path: ""}, CodeNotFound, nil, ""},
		{"missing interpreter", Spec{Path: orphan}, CodeNotFound, syscall.ENOENT, "/no/such/interpreter"},
		{"not executable", Spec{Path: plain}, CodeNotExecutable, syscall.EACCES, "plain"},
		{"not executable in PATH", Spec{Path: "plain", Env: []string{"PATH=" + dir}}, CodeNotExecutable, syscall.EACCES, ""},
		{"no program", Spec{Path: garbage}, CodeNotExecutable, syscall.ENOEXEC, ""},
		{"name too long", Spec{Path: "/" + strings.Repeat("x", 5000)}, CodeNotExecutable, syscall.ENAMETOOLONG, ""},
		{"a directory", Spec{Path: dir}, CodeIsDirectory, syscall.EISDIR, ""},
		{"too big", Spec{Path: "/bin/true", Args: big}, CodeTooBig, syscall.E2BIG, ""},
		{"one argument too big", Spec{Path: "/bin/true", Args: []string{strings.Repeat("x", 131072)}}, CodeTooBig, syscall.E2BIG, ""},
		{"no directory", Spec{Path: "/bin/true", Dir: dir + "/none"}, CodeNoDirectory, syscall.ENOENT, "none"},
		{"no directory, no program", Spec{Path: "nonesuch", Dir: dir + "/none"}, CodeNoDirectory, syscall.ENOENT, ""},
		{"directory is a file", Spec{Path: "/bin/true", Dir: plain}, CodeNoDirectory, syscall.ENOTDIR, ""},
		{"NUL in an argument", Spec{Path: "/bin/true", Args: []string{"a", "b\x00c"}}, CodeInvalid, nil, ""},
		{"NUL in the environment", Spec{Path: "/bin/true", Env: []string{"A=\x00"}}, CodeInvalid, nil, ""},
		{"NUL in the program", Spec{Path: "/bin/true\x00"}, CodeInvalid, nil, ""},
		{"NUL in the directory", Spec{Path: "/bin/true", Dir: "/\x00"}, CodeInvalid, nil, ""},
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				spec := c.spec
				spec.Stdin, spec.Stdout, spec.Stderr = true, true, true
				if spec.Args == nil {
					spec.Args = []string{"x"}
				}
				wantStartError(t, s, &spec, c.code, c.is, c.says)
			})
		}
		wantStartError(t, s, &Spec{Path: "/bin/true"}, CodeInvalid, nil, "empty argument vector")
	})
}

func wantStartError(t *testing.T, s *Spawner, spec *Spec, code string, is error, says string) {
	t.Helper()
	p, err := s.Start(t.Context(), spec)
	if err == nil {
		_ = p.Kill()
		_ = p.Release()
		t.Fatalf("it started; want %s", code)
	}
	e, ok := errors.AsType[*StartError](err)
	if !ok || e.Code != code || e.Err == nil {
		t.Fatalf("error %T %v (%+v), want code %s", err, err, e, code)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %v is not %v", err, is)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("error %q does not name %q", err, says)
	}
}

func TestStartErrorPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may enter any directory")
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		wantStartError(t, s, &Spec{Path: closed + "/x", Args: []string{"x"}}, CodePermissionDenied, syscall.EACCES, "")
		wantStartError(t, s, &Spec{Path: "/bin/true", Args: []string{"x"}, Dir: closed}, CodePermissionDenied, syscall.EACCES, "")
		wantStartError(t, s, &Spec{Path: "/bin/true", Args: []string{"x"}, Dir: closed + "/y"}, CodePermissionDenied, syscall.EACCES, "")
	})
}

// slowBackend delays the starts of another one, as a dead file system does.
type slowBackend struct {
	backend
	proceed chan struct{}
	late    chan runner
}

func (b *slowBackend) start(ctx context.Context, spec *Spec, std *stdio) (runner, error) {
	<-b.proceed
	run, err := b.backend.start(context.WithoutCancel(ctx), spec, std)
	b.late <- run
	return run, err
}

func TestStartTimeout(t *testing.T) {
	needProc(t)
	s := newSpawner(t, Options{Mode: ModeGroup, StartTimeout: 50 * time.Millisecond})
	slow := &slowBackend{s.backend, make(chan struct{}), make(chan runner, 1)}
	s.backend = slow
	sleep := token()
	wantStartError(t, s, command("sleep", sleep), CodeStartTimeout, nil, "hangs")

	close(slow.proceed) // now it starts after all
	late := <-slow.late
	if state, err := late.wait(); err != nil || state.SignalName != "KILL" {
		t.Errorf("the late command ended with %+v, %v; want KILL", state, err)
	}
	if pids := alive(sleep); len(pids) > 0 {
		t.Errorf("the late command runs as %v", pids)
	}
}

func TestStartCanceled(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeGroup})
	slow := &slowBackend{s.backend, make(chan struct{}), make(chan runner, 1)}
	s.backend = slow
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := s.Start(ctx, command("true"))
	if e, ok := errors.AsType[*StartError](err); !ok || e.Code != CodeStartFailed || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %s because of the cancellation", err, CodeStartFailed)
	}
	close(slow.proceed)
	_, _ = (<-slow.late).wait()
}

// A program that was started with open descriptors, blocked and ignored signals
// passes none of that on.
func TestNothingInherited(t *testing.T) {
	needProc(t)
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		t.Run(string(mode), func(t *testing.T) {
			newSpawner(t, Options{Mode: mode})
			script := `ls /proc/$$/fd; while read -r line; do echo "$line"; done </proc/$$/status; cut -d' ' -f1,5,6 /proc/$$/stat; umask`
			cmd := parent(t, mode, "kill", "/bin/sh", "-c", script)
			cmd.Args = append([]string{"/bin/sh", "-c", `trap "" HUP INT QUIT TERM PIPE TSTP TTIN TTOU USR1; exec "$0" "$@"`}, cmd.Args...)
			cmd.Path = "/bin/sh"
			for range 20 {
				f, err := os.Open(os.DevNull)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			}
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := startWithBlockedSignals(cmd); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			checkInherited(t, out.String())
		})
	}
}

func checkInherited(t *testing.T, out string) {
	t.Helper()
	lines := strings.Split(out, "\n")
	if !strings.HasPrefix(out, "0\n1\n2\nName:") {
		t.Errorf("not just descriptors 0, 1 and 2: %.40q", out)
	}
	for _, line := range lines[3:] {
		name, value, ok := strings.Cut(line, ":")
		if ok && (name == "SigBlk" || name == "SigIgn") && strings.Trim(value, "\t0") != "" {
			t.Errorf("signals are not at their defaults: %s", line)
		}
		var pid, group, session int
		if n, _ := fmt.Sscan(line, &pid, &group, &session); n == 3 && (pid != group || pid != session) {
			t.Errorf("process %d has group %d and session %d", pid, group, session)
		}
	}
	if len(lines) < 8 {
		t.Errorf("output is short: %q", out)
	}
}

func TestStdio(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		t.Run("none", func(t *testing.T) {
			p := start(t, s, &Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "cat; echo x; echo y >&2"}})
			if p.Stdin() != nil || p.Stdout() != nil || p.Stderr() != nil {
				t.Error("there are pipes that nobody asked for")
			}
			if state, err := p.Wait(); err != nil || state.Code != 0 {
				t.Errorf("%+v %v", state, err)
			}
		})
		t.Run("three", func(t *testing.T) { testThreePipes(t, s) })
		t.Run("early close", func(t *testing.T) { testClosedOutput(t, s) })
		t.Run("closed by the command", func(t *testing.T) {
			p := start(t, s, shell("exec >&- 2>&-; sleep 100"))
			if n, err := p.Stdout().Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("read %d, %v; want the end", n, err)
			}
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		})
		t.Run("blocking", func(t *testing.T) {
			needProc(t)
			spec := shell("grep flags /proc/$$/fdinfo/0 /proc/$$/fdinfo/1")
			spec.Stdin = true
			out, _ := runOutput(t, s, spec)
			wantBlocking(t, out)
		})
	})
}

// wantBlocking checks flags lines of fdinfo files: programs do not expect O_NONBLOCK.
func wantBlocking(t *testing.T, out string) {
	t.Helper()
	n := 0
	for line := range strings.Lines(out) {
		_, value, ok := strings.Cut(line, "flags:")
		if !ok {
			continue
		}
		n++
		if flags, err := strconv.ParseInt(strings.TrimSpace(value), 8, 64); err != nil || flags&syscall.O_NONBLOCK != 0 {
			t.Errorf("the command's end is nonblocking: %s", line)
		}
	}
	if n == 0 {
		t.Errorf("no flags in %q", out)
	}
}

func testThreePipes(t *testing.T, s *Spawner) {
	spec := shell("cat; echo err >&2")
	spec.Stdin, spec.Stderr, spec.MergeStderr = true, true, false
	p := start(t, s, spec)
	if _, err := p.Stdin().Write([]byte("in")); err != nil {
		t.Fatal(err)
	}
	if err := p.Stdin().Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		out  Output
		want string
	}{{p.Stdout(), "in"}, {p.Stderr(), "err\n"}} {
		if err := c.out.WaitReadable(); err != nil {
			t.Error(err)
		}
		b := make([]byte, 10)
		n, err := c.out.Read(b)
		if string(b[:n]) != c.want || err != nil {
			t.Errorf("read %q, %v; want %q", b[:n], err, c.want)
		}
		if err := c.out.WaitReadable(); err != nil { // the end is readable too
			t.Error(err)
		}
		if n, err := c.out.Read(b); n != 0 || err == nil {
			t.Errorf("read %d, %v; want the end", n, err)
		}
	}
}

// A command whose reader goes away gets SIGPIPE, and a parked reader its end.
func testClosedOutput(t *testing.T, s *Spawner) {
	p := start(t, s, shell("read x; while :; do echo y; done"))
	parked := make(chan error)
	q := start(t, s, shell("exec sleep 100"))
	go func() { parked <- q.Stdout().WaitReadable() }()
	if err := q.Stdout().Close(); err != nil {
		t.Error(err)
	}
	if err := <-parked; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait beside Close returned %v", err)
	}
	if err := q.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.Stdout().Close()
	if state, err := p.Wait(); err != nil || state.SignalName != "PIPE" {
		t.Errorf("ended with %+v %v, want SIGPIPE", state, err)
	}
}
