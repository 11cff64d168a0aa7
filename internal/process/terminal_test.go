//go:build unix

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// onTerminal starts a shell script on a terminal of 24 by 80.
func onTerminal(t *testing.T, s *Spawner, script string, modes map[string]uint32) *Process {
	t.Helper()
	spec := shell(script)
	spec.Term = &Term{Rows: 24, Cols: 80, Modes: modes}
	return start(t, s, spec)
}

// readTerminal reads to the end, without the carriage returns.
func readTerminal(t *testing.T, p *Process) string {
	t.Helper()
	b, err := io.ReadAll(p.Stdout())
	if err != nil {
		t.Errorf("the terminal ended with %v, want io.EOF", err)
	}
	return strings.ReplaceAll(string(b), "\r", "")
}

func readUntil(t *testing.T, p *Process, want string) {
	t.Helper()
	var got strings.Builder
	for b := make([]byte, 256); !strings.Contains(got.String(), want); {
		n, err := p.Stdout().Read(b)
		if err != nil {
			t.Fatalf("%q, then %v; want %q", got.String(), err, want)
		}
		got.Write(b[:n])
	}
}

func TestTerminal(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := onTerminal(t, s, `tty; stty size </dev/tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; stat -c %a "$(tty)"; ls -1 /proc/$$/fd; grep flags /proc/$$/fdinfo/0`, nil)
		if p.Stderr() != nil {
			t.Error("a terminal has no stderr")
		}
		out := readTerminal(t, p)
		for _, want := range []string{"/dev/pts/", "24 80\n", "three\n", "620\n", "0\n1\n2\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("output %q lacks %q", out, want)
			}
		}
		wantBlocking(t, out)
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestResize(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := onTerminal(t, s, `trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done`, nil)
		readUntil(t, p, "ready")
		if err := p.Resize(50, 132); err != nil {
			t.Fatal(err)
		}
		if out := readTerminal(t, p); !strings.Contains(out, "50 132\n") {
			t.Errorf("after the resize: %q", out)
		}
		if err := p.Hangup(); err != nil {
			t.Error(err)
		}
		if err := p.Resize(1, 1); !errors.Is(err, os.ErrClosed) {
			t.Errorf("resize after the hangup: %v", err)
		}
		q := start(t, s, command("true"))
		if err := q.Resize(1, 1); !errors.Is(err, ErrNoTerm) {
			t.Errorf("resize without a terminal: %v", err)
		}
		if err := q.Hangup(); err != nil {
			t.Error(err)
		}
	})
}

// The end of stdin on a terminal.
func TestTerminalEndOfFile(t *testing.T) {
	cases := []struct{ name, modes, input, want string }{
		{"nothing", "", "", "got <>"},
		{"a line", "", "abc\n", "got <abc>"},
		{"a partial line", "", "abc", "got <abc>"},
		{"a line ended by Enter", "", "abc\r", "got <abc>"},
		{"lines and a partial one", "", "a\nb", "got <a\nb>"},
		{"another character", "stty eof ^X;", "abc", "got <abc>"},
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				p := onTerminal(t, s, "stty -echo;"+c.modes+`echo ready; x=$(cat); echo "got <$x>"`, nil)
				readUntil(t, p, "ready")
				if _, err := p.Stdin().Write([]byte(c.input)); err != nil {
					t.Fatal(err)
				}
				if err := p.Stdin().Close(); err != nil {
					t.Fatal(err)
				}
				if out := readTerminal(t, p); !strings.Contains(out, c.want) {
					t.Errorf("output %q, want %q", out, c.want)
				}
				if _, err := p.Stdin().Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
					t.Errorf("write after the close: %v", err)
				}
			})
		}
	})
}

// In raw mode, or without the character, every byte is data and none is made up.
func TestTerminalEndOfFileRaw(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, mode := range []string{"raw -echo", "-echo eof undef"} {
			p := onTerminal(t, s, "stty "+mode+`; echo ready; timeout --foreground 0.3 cat -v`, nil)
			readUntil(t, p, "ready")
			if _, err := p.Stdin().Write([]byte("abc\n")); err != nil {
				t.Fatal(err)
			}
			if err := p.Stdin().Close(); err != nil {
				t.Fatal(err)
			}
			if out := readTerminal(t, p); strings.Contains(out, "^") || !strings.Contains(out, "abc\n") {
				t.Errorf("stty %s: output %q", mode, out)
			}
			if state, err := p.Wait(); err != nil || state.Code != 124 {
				t.Errorf("stty %s: %+v %v; want cat to wait on", mode, state, err)
			}
		}
	})
}

// noflsh: otherwise the kernel throws away output around the interrupt.
func TestTerminalKeys(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := onTerminal(t, s, "stty noflsh; trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done", nil)
		readUntil(t, p, "ready")
		if _, err := p.Stdin().Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
		readUntil(t, p, "interrupted")
		if state, err := p.Wait(); err != nil || state.Code != 3 {
			t.Errorf("%+v %v", state, err)
		}
	})
}

// The hangup reaches the command and unblocks a stuck writer.
func TestHangup(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := onTerminal(t, s, "stty -icanon -echo; echo ready; exec sleep 100", nil)
		readUntil(t, p, "ready")
		stuck := make(chan error)
		go func() {
			_, err := p.Stdin().Write(make([]byte, 1<<20))
			stuck <- err
		}()
		select {
		case err := <-stuck:
			t.Fatalf("the write was not stuck: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if err := p.Hangup(); err != nil {
			t.Error(err)
		}
		if err := <-stuck; err == nil {
			t.Error("the stuck write succeeded")
		}
		if state, err := p.Wait(); err != nil || state.SignalName != "HUP" {
			t.Errorf("%+v %v, want HUP", state, err)
		}
	})
}

func TestTerminalModes(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := onTerminal(t, s, "stty -a", map[string]uint32{
			"VERASE": 8, "VINTR": 255, "ECHO": 0, "IXANY": 1, "ONLCR": 1, "IUCLC": 1, "CS8": 1,
			"TTY_OP_ISPEED": 38400, "NO_SUCH_MODE": 1,
		})
		out := readTerminal(t, p)
		for _, want := range []string{"erase = ^H", "intr = <undef>", " -echo ", " ixany", " onlcr", " iuclc", " cs8"} {
			if !strings.Contains(strings.ReplaceAll(out, "\n", " "), want) {
				t.Errorf("stty says %q, which lacks %q", out, want)
			}
		}
	})
}

// All output of a command that ends at once arrives before the end.
func TestTerminalOutputComplete(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		const lines = 2000
		p := onTerminal(t, s, fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; done", lines), nil)
		if got := strings.Count(readTerminal(t, p), "line "); got != lines {
			t.Errorf("%d lines arrived, want %d", got, lines)
		}
	})
}

func TestTerminalDescriptors(t *testing.T) {
	needProc(t)
	s := newSpawner(t, Options{Mode: ModeGroup})
	before := openDescriptors()
	for range 10 {
		p := onTerminal(t, s, "echo x", nil)
		_ = readTerminal(t, p)
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	}
	if after := openDescriptors(); len(after) > len(before) {
		t.Errorf("descriptors before %q, after %q", before, after)
	}
}

// A terminal for stdout alone: the rest are pipes, and there is none that controls.
func TestTerminalStdoutOnly(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		spec := shell(`[ -t 0 ] && echo 0; [ -t 1 ] && echo 1; [ -t 2 ] && echo 2; (: </dev/tty) 2>/dev/null && echo tty; stty size <&1; cat; echo said >&2`)
		spec.Stdin, spec.Stderr, spec.MergeStderr = true, true, false
		spec.Term = &Term{Rows: 24, Cols: 80, StdoutOnly: true, Modes: map[string]uint32{"OPOST": 0}}
		p := start(t, s, spec)
		if err := p.Resize(1, 1); !errors.Is(err, ErrNoTerm) {
			t.Errorf("Resize: %v", err)
		}
		if _, err := io.WriteString(p.Stdin(), "\x04\r\n\x7f"); err != nil {
			t.Error(err)
		}
		if err := p.Stdin().Close(); err != nil {
			t.Error(err)
		}
		out, err := io.ReadAll(p.Stdout())
		if want := "1\n24 80\n\x04\r\n\x7f"; string(out) != want || err != nil {
			t.Errorf("stdout %q, %v; want %q", out, err, want)
		}
		said, err := io.ReadAll(p.Stderr())
		if string(said) != "said\n" || err != nil {
			t.Errorf("stderr %q, %v", said, err)
		}
		if state, err := p.Wait(); state.Code != 0 || err != nil {
			t.Errorf("%+v, %v", state, err)
		}
	})
}
