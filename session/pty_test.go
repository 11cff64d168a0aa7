//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

func terminal() *session.Term { return &session.Term{Name: "xterm-256color", Rows: 33, Cols: 101} }

// onTerm runs a script on a terminal and returns what it said.
func onTerm(t *testing.T, link *link, script string, stdin io.Reader) string {
	t.Helper()
	cmd := link.sh(script)
	cmd.Term = terminal()
	cmd.Stdin = stdin
	out, err := finishOutput(t, cmd)
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return string(out)
}

func TestTerm(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		link := connect(t, &session.Server{Handler: newHandler(t, mode)})
		if out := onTerm(t, link, "tty", nil); !strings.HasPrefix(out, "/dev/pts/") {
			t.Errorf("tty: %q", out)
		}
		if out := onTerm(t, link, "stty size; echo $TERM", nil); out != "33 101\r\nxterm-256color\r\n" {
			t.Errorf("size and name: %q", out)
		}
		if out := onTerm(t, link, "test -t 0 && test -t 1 && test -t 2 && echo out && echo err >&2", nil); out != "out\r\nerr\r\n" {
			t.Errorf("one line for all: %q", out)
		}
		if out := onTerm(t, link, "echo $$; ps -o tpgid= -p $$; cat /dev/tty & kill $!; wait", nil); strings.Fields(out)[0] != strings.Fields(out)[1] {
			t.Errorf("not the foreground of a controlling terminal: %q", out)
		}
		if out := onTerm(t, link, "seq 1 20000", nil); len(out) != 108894+20000 || !strings.HasSuffix(out, "\r\n20000\r\n") {
			t.Errorf("long output: %d bytes", len(out))
		}
	})
}

func TestTermInput(t *testing.T) { eachPath(t, execd.Options{}, testTermInput) }

func testTermInput(t *testing.T, link *link) {
	for name, c := range map[string]struct{ script, stdin, want string }{
		"whole lines":          {"cat; echo end", "a\nb\n", "a\r\nb\r\nend\r\n"},
		"a partial line":       {"cat; echo; echo end", "a\nb", "a\r\nb\r\nend\r\n"},
		"nothing":              {"cat; echo end", "", "end\r\n"},
		"a carriage return":    {"cat; echo end", "a\r", "a\r\nend\r\n"},
		"raw: bytes are bytes": {"stty raw; echo ready; head -c 3 | od -An -c; stty -raw", "\x03\x04\r", "ready\n \\003 004 \\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(name, "raw") {
				if out := onTerm(t, link, "stty -echo; echo ready; "+c.script, strings.NewReader(c.stdin)); !strings.HasSuffix(out, "ready\r\n"+c.want) {
					t.Errorf("%q", out)
				}
				return
			}
			cmd := link.sh(c.script)
			cmd.Term = &session.Term{Name: "dumb", Modes: map[string]uint32{"echo": 0}}
			in, _ := cmd.StdinPipe()
			out, _ := cmd.StdoutPipe()
			mustStart(t, cmd)
			if line := readLine(t, out); !strings.HasPrefix(line, "ready") {
				t.Errorf("line %q", line)
			}
			if _, err := io.WriteString(in, c.stdin); err != nil {
				t.Error(err)
			}
			all, err := io.ReadAll(out)
			if got := strings.ReplaceAll(string(all), "\r", ""); err != nil || got != " 003 004  \\r\n" {
				t.Errorf("%q, %v", got, err)
			}
			if err := finish(t, "Wait", cmd.Wait); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTermResize(t *testing.T) { eachPath(t, execd.Options{}, testTermResize) }

func testTermResize(t *testing.T, link *link) {
	// A trap ends the read that it interrupts, in some shells as the end of the input does.
	cmd := link.sh("trap 'stty size' WINCH; stty -echo; echo ready; until [ \"$line\" = end ]; do read line; echo $line; done")
	cmd.Term = terminal()
	if err := cmd.Resize(1, 1); err == nil {
		t.Error("resized before Start")
	}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	mustStart(t, cmd)
	readLine(t, out)
	if err := cmd.Resize(50, 132); err != nil {
		t.Error(err)
	}
	var said bytes.Buffer
	for !strings.Contains(said.String(), "50 132\r") {
		if _, err := io.WriteString(in, "x\n"); err != nil { // the shell runs its trap between commands
			t.Fatal(err)
		}
		said.WriteString(readLine(t, out))
	}
	if _, err := io.WriteString(in, "end\n"); err != nil {
		t.Error(err)
	}
	_ = in.Close()
	if _, err := io.ReadAll(out); err != nil {
		t.Error(err)
	}
	if err := finish(t, "Wait", cmd.Wait); err != nil {
		t.Error(err)
	}
	if err := cmd.Resize(1, 1); kindOf(err) != "process done" {
		t.Errorf("after the end: %v", err)
	}
}

// Keys are signals, and the end of the line is a hangup.
func TestTermSignals(t *testing.T) { eachPath(t, execd.Options{}, testTermSignals) }

func testTermSignals(t *testing.T, link *link) {
	for _, c := range []struct {
		how  string
		want string
		do   func(in io.Writer, out io.Closer, cmd *session.Cmd)
	}{
		{"^C", "exit error: signal: interrupt", func(in io.Writer, _ io.Closer, _ *session.Cmd) { _, _ = io.WriteString(in, "\x03") }},
		{"^\\", "exit error: signal: quit", func(in io.Writer, _ io.Closer, _ *session.Cmd) { _, _ = io.WriteString(in, "\x1c") }},
		{"stdout closed", "exit error: signal: hangup", func(_ io.Writer, out io.Closer, _ *session.Cmd) { _ = out.Close() }},
		{"signal to the group", "exit error: signal: terminated", func(_ io.Writer, _ io.Closer, cmd *session.Cmd) {
			_ = cmd.SignalTo("TERM", session.ToGroup)
		}},
	} {
		cmd := link.sh("ulimit -c 0; echo ready; exec sleep 600")
		cmd.Term = terminal()
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		mustStart(t, cmd)
		readLine(t, out)
		c.do(in, out, cmd)
		if err := finish(t, "Wait", cmd.Wait); kindOf(err) != c.want {
			t.Errorf("%s: %v", c.how, err)
		}
	}
}

// Whatever a command says on a terminal whose output nobody wants is dropped; it does not stand still.
func TestTermWithoutOutput(t *testing.T) {
	link := newLink(t)
	cmd := link.sh("seq 1 20000; seq 1 20000 >&2; exit 3")
	cmd.Term = terminal()
	if err := finish(t, "Run", cmd.Run); kindOf(err) != "exit error: exit status 3" {
		t.Error(err)
	}
	cmd = link.sh("echo err >&2")
	cmd.Term = terminal()
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	if all, err := io.ReadAll(errs); err != nil || len(all) > 0 {
		t.Errorf("stderr of a terminal: %q, %v", all, err)
	}
	if err := finish(t, "Wait", cmd.Wait); err != nil {
		t.Error(err)
	}
}

// A background process that holds the terminal does not keep a session that said it would not wait.
func TestTermDrain(t *testing.T) {
	link := newLink(t)
	word := aeon()
	killAtEnd(t, word)
	cmd := link.sh("trap '' HUP; sleep " + word + " & echo out; exit 0")
	cmd.Term, cmd.Drain = terminal(), -1
	if out, err := finishOutput(t, cmd); kindOf(err) != "wait delay" || string(out) != "out\r\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// A service is asked for by its name alone.
func TestServiceByName(t *testing.T) {
	echo := &execd.Service{Name: "echo", Argv: []string{"sh", "-c", `cat; echo "$0 $A"; exit 3`, "name"}, Env: []string{"A=1"}}
	link := connect(t, &session.Server{Handler: handlerWith(t, execd.Options{
		Services: func(name string) (*execd.Service, bool) { return echo, name == "echo" },
	})})
	cmd := link.ServiceContext(t.Context(), "echo")
	cmd.Stdin, cmd.Env = strings.NewReader("in\n"), []string{"A=2"}
	out, err := finishOutput(t, cmd)
	if kindOf(err) != "exit error: exit status 3" || string(out) != "in\nname 1\n" || !slices.Equal(cmd.DroppedEnv(), []string{"A"}) {
		t.Errorf("%q, %v, dropped %q", out, err, cmd.DroppedEnv())
	}
	if cmd.String() != "echo" {
		t.Errorf("String: %q", cmd)
	}
	if err := link.Service("other").Run(); !errors.Is(err, proto.CodeNoSubsystem) {
		t.Errorf("another name: %v", err)
	}
	if err := link.Service("").Run(); err == nil || !strings.Contains(err.Error(), "no command") {
		t.Errorf("no name: %v", err)
	}
}

// What a service's limits end is no success, also if the program says so.
func TestServiceLimits(t *testing.T) {
	const polite = "trap 'exit 0' TERM HUP PIPE; "
	services := map[string]*execd.Service{
		"time":   {Name: "time", Argv: []string{"sh", "-c", polite + "while :; do sleep 0.01; done"}, Limits: execd.Limits{Total: time.Millisecond}},
		"idle":   {Name: "idle", Argv: []string{"sh", "-c", polite + "while :; do sleep 0.01; done"}, Limits: execd.Limits{Idle: time.Millisecond}},
		"output": {Name: "output", Argv: []string{"sh", "-c", polite + "head -c 100000 /dev/zero; exit 0"}, Limits: execd.Limits{Output: 99999}},
		"input":  {Name: "input", Argv: []string{"sh", "-c", polite + "cat >/dev/null & wait"}, Limits: execd.Limits{Input: 9}},
		"within": {Name: "within", Argv: []string{"cat"}, Limits: execd.Limits{Input: 10, Output: 10, Total: time.Hour, Idle: time.Hour}},
	}
	link := connect(t, &session.Server{Handler: handlerWith(t, execd.Options{
		Services: func(name string) (*execd.Service, bool) { s, ok := services[name]; return s, ok },
	})})
	for name, want := range map[string]proto.How{
		"time": proto.HowTimeout, "idle": proto.HowTimeout, "output": proto.HowKilled, "input": proto.HowKilled, "within": proto.HowExited,
	} {
		cmd := link.Service(name)
		cmd.Stdin = strings.NewReader("0123456789")
		out, err := finishOutput(t, cmd)
		state := cmd.ProcessState
		if state == nil || state.Record().How != want || (err == nil) != (name == "within") || len(out) > 99999 {
			t.Errorf("%s: %v, %+v, %d bytes", name, err, state, len(out))
		}
	}
}

// A lateHandler has its processes reach a limit when they have ended.
type lateHandler struct{ session.Handler }

func (h lateHandler) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	p, err := h.Handler.Start(ctx, req)
	return &late{p, make(chan proto.How, 1)}, err
}

type late struct {
	session.Process
	exceeded chan proto.How
}

func (l *late) Exceeded() <-chan proto.How { return l.exceeded }

func (l *late) Release() error {
	l.exceeded <- proto.HowKilled
	return l.Process.Release()
}

// A limit that is reached at the very end counts: what was sent may be a part.
func TestLimitAtTheEnd(t *testing.T) {
	link := connect(t, &session.Server{Handler: lateHandler{handlerWith(t, execd.Options{})}})
	cmd := link.Command("true")
	if err := finish(t, "Run", cmd.Run); err == nil || cmd.ProcessState.Record().How != proto.HowKilled {
		t.Errorf("%v, %+v", err, cmd.ProcessState)
	}
}

func TestShell(t *testing.T) {
	home := t.TempDir()
	link := connect(t, &session.Server{Handler: handlerWith(t, execd.Options{Home: home})})
	out, err := finishOutput(t, link.Shell(`echo "$0" "$#" $((1+2)) "$HOME"; pwd; exit 3`))
	if kindOf(err) != "exit error: exit status 3" || string(out) != "sh 0 3 "+home+"\n"+home+"\n" {
		t.Errorf("a line: %q, %v", out, err)
	}
	out, err = finishOutput(t, link.Shell("no-such-program-anywhere 2>/dev/null"))
	if kindOf(err) != "exit error: exit status 127" || len(out) > 0 {
		t.Errorf("not found by the shell: %q, %v", out, err)
	}
	login := link.ShellContext(t.Context(), "")
	login.Stdin = strings.NewReader("echo $0\nexit 4\n")
	out, err = finishOutput(t, login)
	if kindOf(err) != "exit error: exit status 4" || string(out) != "-sh\n" {
		t.Errorf("the login shell: %q, %v", out, err)
	}
	login = link.Shell("")
	login.Term = terminal()
	in, _ := login.StdinPipe()
	stdout, _ := login.StdoutPipe()
	mustStart(t, login)
	if _, err := io.WriteString(in, "tty; stty size; exit 5\r"); err != nil {
		t.Error(err)
	}
	all, err := io.ReadAll(stdout)
	if text := string(all); err != nil || !strings.Contains(text, "/dev/pts/") || !strings.Contains(text, "33 101\r\n") {
		t.Errorf("on a terminal: %q, %v", text, err)
	}
	if err := finish(t, "Wait", login.Wait); kindOf(err) != "exit error: exit status 5" {
		t.Errorf("on a terminal: %v", err)
	}
	if s := link.Shell("echo a b").String(); s != "echo a b" {
		t.Errorf("String: %q", s)
	}
}
