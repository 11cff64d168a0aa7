//go:build linux || darwin || freebsd

package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

func sh(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script, "sh"}, args...)
}

func TestAnswers(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		for _, c := range []struct {
			argv           []string
			question, want string
		}{
			{[]string{"tr", "a-z", "A-Z"}, "hello\n", "HELLO\n"},
			{[]string{"sort"}, "c\na\nb\n", "a\nb\nc\n"}, // answers after the end only
			{[]string{"cat"}, "", ""},
			{[]string{"cat"}, "\x00\xff\r\n\x04\x1a", "\x00\xff\r\n\x04\x1a"},
			{sh("cat >/dev/null; echo done"), strings.Repeat("x", 1<<20), "done\n"},
			{sh(`printf '%s|' "$@"`, "a b", "", "*"), "", "a b||*|"},
		} {
			s := serve(t, network, &Service{}, c.argv...)
			if got := s.dial().ask(c.question); got != c.want {
				t.Errorf("%q: answer %.80q, want %.80q", c.argv, got, c.want)
			}
			s.wantEnd("exited", "status", 0.0, "in", float64(len(c.question)), "out", float64(len(c.want)))
		}
	})
}

// A conversation: each direction while the other is open.
func TestConversation(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, &Service{}, sh(`while read line; do echo "<$line>"; done; exit 7`)...)
		c := s.dial()
		for i := range 100 {
			word := strconv.Itoa(i)
			c.send(word + "\n")
			if got := c.line(); got != "<"+word+">" {
				t.Fatalf("%s: %q", word, got)
			}
		}
		c.finish()
		if rest := c.rest(); rest != "" {
			t.Errorf("rest %q", rest)
		}
		s.wantEnd("exited", "status", 7.0)
	})
}

// The end of stdout is a FIN while the program goes on and reads.
func TestProgramClosesStdout(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		file := t.TempDir() + "/rest"
		s := serve(t, network, &Service{}, sh(`echo hello; exec >&-; cat >"$1.part"; mv "$1.part" "$1"`, file)...)
		c := s.dial()
		if got := c.rest(); got != "hello\n" {
			t.Errorf("answer %q", got)
		}
		c.send("still read")
		c.finish()
		s.wantEnd("exited", "in", 10.0, "out", 6.0)
		if b, err := os.ReadFile(file); string(b) != "still read" {
			t.Errorf("it read %q, %v", b, err)
		}
	})
}

// The end of stdin does not keep the answer from coming.
func TestProgramClosesStdin(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		dir := t.TempDir()
		s := serve(t, network, &Service{}, sh(`exec <&-; : >"$1/closed"; while ! [ -e "$1/go" ]; do sleep 0.01; done; echo late`, dir)...)
		c := s.dial()
		eventually(t, "stdin is closed", func() bool { _, err := os.Stat(dir + "/closed"); return err == nil })
		c.send("nobody reads this\n")
		if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := c.rest(); got != "late\n" {
			t.Errorf("answer %q", got)
		}
		c.Close()
		s.wantEnd("exited", "in", 0.0)
	})
}

// No answer is lost because input was left unread, and no client that behaves
// is reset, whether it reads first or sends first.
func TestUnreadInput(t *testing.T) {
	const size = 4 << 20
	rounds := 25
	if os.Getenv("REX_SLOW") != "" {
		rounds = 1000
	}
	eachNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, &Service{Limits: Limits{Instances: -1, PerSource: -1}}, "head", "-c", "10")
		for i := range rounds {
			c := s.dial()
			sent := make(chan error, 1)
			go func() {
				_, err := io.Copy(c, io.LimitReader(zeros{}, size))
				sent <- errors.Join(err, c.CloseWrite())
			}()
			if i%2 == 1 {
				if err := <-sent; err != nil {
					t.Fatalf("round %d: send: %v", i, err)
				}
			}
			if got := c.rest(); got != strings.Repeat("0", 10) {
				t.Fatalf("round %d: answer %q", i, got)
			}
			if i%2 == 0 {
				if err := <-sent; err != nil {
					t.Fatalf("round %d: send: %v", i, err)
				}
			}
			c.Close()
		}
		s.ended(rounds)
	})
}

// zeros is an endless text of the digit.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// Bulk in both directions at once, byte for byte.
func TestBulk(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, &Service{}, "cat")
		question := bytes.Repeat([]byte("0123456789abcde\n"), 2<<20)
		c := s.dial()
		go func() {
			_, _ = c.Write(question)
			_ = c.CloseWrite()
		}()
		if got := c.rest(); got != string(question) {
			t.Errorf("%d bytes of %d, or others", len(got), len(question))
		}
		s.wantEnd("exited", "in", float64(len(question)), "out", float64(len(question)))
	})
}

// What the program leaves behind is ended, whatever it holds and however it hides.
func TestBackgroundIsEnded(t *testing.T) {
	word := aeon()
	s := serve(t, "tcp", &Service{}, sh(`sleep `+word+` </dev/null >/dev/null 2>&1 & echo done`)...)
	c := s.dial()
	if got := c.ask(""); got != "done\n" {
		t.Errorf("answer %q", got)
	}
	s.wantEnd("exited")
	wantGone(t, word)
}

// A child may finish the answer, if it does not stay silent for too long.
func TestBackgroundFinishesAnswer(t *testing.T) {
	s := serve(t, "tcp", &Service{}, sh(`(sleep 0.1; echo late) & echo early`)...)
	if got := s.dial().ask(""); got != "early\nlate\n" {
		t.Errorf("answer %q", got)
	}
	s.wantEnd("exited")
}

// One that only holds it is ended, and the answer does not pass for the whole.
func TestBackgroundHoldsStdout(t *testing.T) {
	word := aeon()
	s := serve(t, "tcp", &Service{Drain: 100 * time.Millisecond}, sh(`sleep `+word+` & echo done`)...)
	c := s.dial()
	if got := c.wantCut(); got != "done\n" {
		t.Errorf("answer %q", got)
	}
	s.wantEnd("abandoned", "status", 0.0)
	wantGone(t, word)
}

// A client that goes without a word, whatever the program is about to do.
func TestClientResets(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		before func(c *client)
	}{
		"reads":           {"echo; cat >/dev/null; sleep AEON", func(c *client) {}},
		"does not read":   {"echo; sleep AEON", (*client).flood},
		"read to the end": {"cat >/dev/null; echo; sleep AEON", func(c *client) { c.finish() }},
		"closed stdin":    {"exec <&-; echo; sleep AEON", func(c *client) { c.send("x") }},
		"writes":          {"echo; yes; sleep AEON", func(c *client) {}},
		"ignores signals": {"trap '' HUP TERM PIPE; echo; sleep AEON", func(c *client) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			word := aeon()
			s := serve(t, "tcp", &Service{}, sh(strings.Replace(c.script, "AEON", word, 1))...)
			client := s.dial()
			c.before(client)
			client.line()
			client.reset()
			s.wantEnd("lost")
			wantGone(t, word)
		})
	}
}

// Limits end in a reset, are logged once, and leave nothing.
func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		script string
		do     func(c *client)
		how    string
		most   int // of the answer
	}{
		"says nothing":    {Limits{Idle: 100 * time.Millisecond}, "cat; sleep AEON", func(*client) {}, "idle", 0},
		"never reads":     {Limits{Idle: 300 * time.Millisecond}, "yes; sleep AEON", nil, "idle", 0},
		"nobody reads it": {Limits{Idle: 300 * time.Millisecond}, "sleep AEON", (*client).flood, "idle", 0},
		"takes too long":  {Limits{Total: 200 * time.Millisecond}, "while :; do echo tick; sleep 0.01; done; sleep AEON", func(*client) {}, "time", 1000},
		"sends too much":  {Limits{Input: 100_000}, "cat >/dev/null; sleep AEON", (*client).flood, "input_limit", 0},
		"is sent much":    {Limits{Output: 100_000}, "read go; yes; sleep AEON", func(c *client) { c.send("go\n") }, "output_limit", 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			word := aeon()
			s := serve(t, "tcp", &Service{Limits: c.limits}, sh(strings.Replace(c.script, "AEON", word, 1))...)
			client := s.dial()
			if c.do == nil {
				s.wantEnd(c.how)
			} else {
				c.do(client)
				if got := client.wantCut(); len(got) > c.most {
					t.Errorf("%d bytes of answer", len(got))
				}
				s.wantEnd(c.how)
			}
			wantGone(t, word)
			if n := s.Stats().Running; n != 0 {
				t.Errorf("%d still run", n)
			}
		})
	}
}

// Exactly as much as a limit allows is no offence.
func TestLimitsAreExact(t *testing.T) {
	s := serve(t, "tcp", &Service{Limits: Limits{Input: 100_000, Output: 100_000}}, "cat")
	question := strings.Repeat("x", 100_000)
	if got := s.dial().ask(question); got != question {
		t.Errorf("%d bytes", len(got))
	}
	s.wantEnd("exited")
}

func TestInstances(t *testing.T) {
	for name, limits := range map[string]Limits{
		"instances":  {Instances: 3, PerSource: -1},
		"per source": {Instances: -1, PerSource: 3},
	} {
		eachNetwork(t, func(t *testing.T, network string) {
			s := serve(t, network, &Service{Limits: limits}, "cat")
			var inside []*client
			for range 3 {
				c := s.dial()
				c.send("in\n")
				c.line()
				inside = append(inside, c)
			}
			for range 5 {
				s.wantRefused()
			}
			if stats := s.Stats(); stats != (Stats{Started: 3, Refused: 5, Running: 3}) {
				t.Errorf("%s: %+v", name, stats)
			}
			if refused := s.log.with("connection refused"); len(refused) != 1 || refused[0]["level"] != "WARN" {
				t.Errorf("%s: log:\n%s", name, s.log)
			}
			inside[0].ask("")
			eventually(t, "there is room", func() bool { return s.Stats().Running == 2 })
			if got := s.dial().ask("again"); got != "again" {
				t.Errorf("%s: %q", name, got)
			}
		})
	}
}

// Places are shared with who runs instances elsewhere.
func TestEnter(t *testing.T) {
	s := serve(t, "tcp", &Service{Limits: Limits{Instances: 2, PerSource: 1}}, "cat")
	leave, err := s.Enter("alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enter("alice"); err == nil || err.Error() != "1 instances run for this source already" {
		t.Errorf("twice: %v", err)
	}
	c := s.dial()
	c.send("x\n")
	c.line()
	_, err = s.Enter("bob")
	if e, ok := errors.AsType[*LimitError](err); !ok || e.PerSource || e.Limit != 2 {
		t.Errorf("one too many: %v", err)
	}
	leave()
	leave()
	if leave, err = s.Enter("bob"); err != nil {
		t.Error(err)
	}
	leave()
	c.ask("")
	eventually(t, "all are gone", func() bool { return s.Stats().Running == 0 })
	_ = s.Close()
	if _, err := s.Enter("carol"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNotStarted(t *testing.T) {
	s := serve(t, "tcp", &Service{}, "/nonexistent/program")
	s.wantRefused()
	eventually(t, "it is logged", func() bool { return len(s.log.with("the program cannot be started")) == 1 })
	eventually(t, "it is gone", func() bool { return s.Stats().Running == 0 })
}

func TestStderr(t *testing.T) {
	s := serve(t, "tcp", &Service{}, sh(`printf 'one\n\ntwo\033[2J\n' >&2; head -c 5000 /dev/zero | tr '\0' x >&2; echo >&2; printf unfinished >&2`)...)
	s.dial().ask("")
	s.wantEnd("exited", "stderr_dropped", nil)
	var got []string
	for _, line := range s.log.with("stderr") {
		if line["service"] != "test" || line["client"] == nil {
			t.Errorf("line %v", line)
		}
		got = append(got, line["line"].(string))
	}
	if want := []string{"one", "two\x1b[2J", strings.Repeat("x", maxLine), "unfinished"}; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines %.200q", got)
	}
	if strings.ContainsRune(s.log.String(), '\x1b') {
		t.Error("an escape sequence is in the log")
	}
	if lines := s.log.with("stderr"); lines[2]["cut"] != true || lines[0]["cut"] != nil {
		t.Error("it is not told what was cut")
	}
}

func TestStderrFlood(t *testing.T) {
	s := serve(t, "tcp", &Service{}, sh(`seq 1 20000 >&2; echo done`)...)
	if got := s.dial().ask(""); got != "done\n" {
		t.Errorf("answer %q", got)
	}
	line := s.ended(1)
	logged := len(s.log.with("stderr"))
	if logged < stderrBurst || logged > 2000 || line["stderr_dropped"] != float64(20000-logged) {
		t.Errorf("%d lines logged, %v", logged, line)
	}
}

func TestTerminal(t *testing.T) {
	h := newHandler(t)
	s := serve(t, "tcp", &Service{Start: func(ctx context.Context, c Client) (session.Process, error) {
		return h.StartProgram(ctx, &execd.Program{
			Argv:     sh(`[ -t 1 ] && echo tty; [ -t 0 ] || echo pipe; [ -t 2 ] || echo said >&2; cat`),
			Terminal: true,
		})
	}})
	var question []byte
	for i := range 20_000 {
		question = append(question, byte(i), byte(i>>8))
	}
	if got := s.dial().ask(string(question)); got != "tty\npipe\n"+string(question) {
		t.Errorf("%d bytes, or others", len(got))
	}
	s.wantEnd("exited")
	if said := s.log.with("stderr"); len(said) != 1 {
		t.Errorf("log:\n%s", s.log)
	}
}

func TestShutdown(t *testing.T) {
	s := serve(t, "tcp", &Service{}, "cat")
	c := s.dial()
	c.send("before\n")
	c.line()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "nobody listens", func() bool {
		late, err := net.Dial("tcp", s.addr.String())
		if err == nil {
			late.Close()
		}
		return err != nil
	})
	if got := c.ask("after"); got != "after" {
		t.Errorf("answer %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.ended(1)
}

func TestShutdownCuts(t *testing.T) {
	for name, stop := range map[string]func(s *Service) error{
		"shutdown": func(s *Service) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return s.Shutdown(ctx)
		},
		"close": func(s *Service) error {
			_ = s.Close()
			return errors.Join(s.Shutdown(context.Background()), context.Canceled)
		},
	} {
		word := aeon()
		s := serve(t, "tcp", &Service{}, sh(`trap '' TERM HUP; echo; sleep `+word)...)
		c := s.dial()
		c.line()
		if err := stop(s.Service); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		c.wantCut()
		s.wantEnd("stopped", "signal", "KILL")
		wantGone(t, word)
		if err := s.Serve(listen(t, "tcp")); err != nil {
			t.Errorf("%s: Serve afterwards: %v", name, err)
		}
	}
}

// Many at once, and nothing of one in another.
func TestMany(t *testing.T) {
	s := serve(t, "tcp", &Service{}, "cat")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			question := strings.Repeat(strconv.Itoa(i)+" ", 20_000)
			if got := s.dial().ask(question); got != question {
				t.Errorf("%d: %d bytes of %d, or others", i, len(got), len(question))
			}
		})
	}
	wg.Wait()
	s.ended(50)
}
