//go:build unix

package session_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Clients that are wrong or hostile.

// What is wrong with one command is refused, and nothing else is disturbed.
func TestBanditIsRefused(t *testing.T) {
	h := &counter{Handler: newHandler(t, "")}
	b := newBandit(t, &session.Server{Handler: h}).greet()
	neighbour := b.cat()
	unclaimed := 0 // streams that no exec ever named
	long := strings.Repeat("x", proto.MaxString+1)
	for name, c := range map[string]struct {
		spoil func(e *proto.Exec)
		code  proto.Code
	}{
		"NUL in argv":            {func(e *proto.Exec) { e.Argv[1] = []byte("a\x00b") }, proto.CodeInvalid},
		"NUL in env":             {func(e *proto.Exec) { e.Env = [][]byte{[]byte("A=\x00")} }, proto.CodeInvalid},
		"NUL in dir":             {func(e *proto.Exec) { e.Dir = []byte("/\x00") }, proto.CodeInvalid},
		"NUL in path":            {func(e *proto.Exec) { e.Path = []byte("/bin/true\x00") }, proto.CodeInvalid},
		"NUL in line":            {func(e *proto.Exec) { e.Argv, e.Line = nil, []byte("true\x00") }, proto.CodeInvalid},
		"empty argv":             {func(e *proto.Exec) { e.Argv = [][]byte{} }, proto.CodeInvalid},
		"empty argv[0]":          {func(e *proto.Exec) { e.Argv = [][]byte{{}} }, proto.CodeInvalid},
		"argv and line":          {func(e *proto.Exec) { e.Line = []byte("true") }, proto.CodeInvalid},
		"path without argv":      {func(e *proto.Exec) { e.Argv, e.Path = nil, []byte("/bin/true") }, proto.CodeInvalid},
		"empty subsystem":        {func(e *proto.Exec) { e.Argv, e.Subsystem = nil, []byte{} }, proto.CodeInvalid},
		"env without =":          {func(e *proto.Exec) { e.Env = [][]byte{[]byte("A")} }, proto.CodeInvalid},
		"term and stderr":        {func(e *proto.Exec) { e.Term = terminal() }, proto.CodeInvalid},
		"too long":               {func(e *proto.Exec) { e.Argv[1] = []byte(long) }, proto.CodeTooBig},
		"subsystem":              {func(e *proto.Exec) { e.Argv, e.Subsystem = nil, []byte("sftp") }, proto.CodeNoSubsystem},
		"missing directory":      {func(e *proto.Exec) { e.Dir = []byte("/no/such/dir") }, proto.CodeNoDirectory},
		"not found":              {func(e *proto.Exec) { e.Argv[0] = []byte("no-such-program-anywhere") }, proto.CodeNotFound},
		"id used before":         {func(e *proto.Exec) { e.ID = neighbour.ID }, proto.CodeDuplicateID},
		"id not above the last":  {func(e *proto.Exec) { e.ID-- }, proto.CodeDuplicateID},
		"stdin and stdout one":   {func(e *proto.Exec) { e.Stdout = e.Stdin }, proto.CodeBadStream},
		"stderr and stdin one":   {func(e *proto.Exec) { e.Stderr = e.Stdin }, proto.CodeBadStream},
		"status and stdout one":  {func(e *proto.Exec) { e.Stdout = e.Status }, proto.CodeBadStream},
		"stdin not open":         {func(e *proto.Exec) { e.Stdin = 9999 }, proto.CodeBadStream},
		"stdout even":            {func(e *proto.Exec) { e.Stdout = 2 }, proto.CodeBadStream},
		"stderr is control":      {func(e *proto.Exec) { e.Stderr = b.control.ID() }, proto.CodeBadStream},
		"stdin of the neighbour": {func(e *proto.Exec) { e.Stdin = neighbour.Stdin }, proto.CodeBadStream},
		"stdout the neighbour's": {func(e *proto.Exec) { e.Stdout = neighbour.Stdout }, proto.CodeBadStream},
		"status not open":        {func(e *proto.Exec) { e.Status = 9999 }, proto.CodeBadStream},
		"status is control":      {func(e *proto.Exec) { e.Status = b.control.ID() }, proto.CodeBadStream},
		"status the neighbour's": {func(e *proto.Exec) { e.Status = neighbour.Status }, proto.CodeBadStream},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := b.prepare("true", "arg")
			b.skip()
			cmd.ID = b.nextID
			mine := []uint32{cmd.Status, cmd.Stdin, cmd.Stdout, cmd.Stderr}
			c.spoil(cmd.Exec)
			frames := cmd.frames
			if cmd.Status != mine[0] {
				frames = b.frames // there is no usable status stream
			}
			for _, id := range mine {
				if !slices.Contains([]uint32{cmd.Status, cmd.Stdin, cmd.Stdout, cmd.Stderr}, id) {
					unclaimed++
				}
			}
			b.send(cmd)
			m, err := frames.Next()
			if err != nil || m.Refused == nil || m.Refused.ID != cmd.ID || m.Refused.Code != c.code {
				t.Errorf("answer %+v, %v", m, err)
			} else if frames == cmd.frames {
				if _, err := frames.Next(); err != io.EOF {
					t.Errorf("after refused: %v", err)
				}
			}
			// The streams that were not claimed are the client's to give up.
			_ = cmd.stdin.CloseWrite()
			_, _, _ = cmd.stdout.CancelRead(), cmd.stderr.CancelRead(), cmd.status.CancelRead()
			neighbour.echo()
		})
	}
	neighbour.finish()
	if n := h.started.Load(); n != 1 {
		t.Errorf("%d commands were started", n)
	}
	eventually(t, "all streams but control have ended", func() bool { return b.mux.NumStreams() == 1+unclaimed })
}

// skip uses up an id, so that the one before the next was never used, and is not above the highest either.
func (b *bandit) skip() {
	b.nextID += 2
	status := b.open()
	b.say(&proto.Message{Exec: &proto.Exec{ID: b.nextID - 1, Argv: [][]byte{}, Status: status.ID()}})
	_, _ = io.Copy(io.Discard, status)
}

// open opens a stream on which the server writes.
func (b *bandit) open() *mux.ReceiveStream {
	b.t.Helper()
	s, err := b.mux.OpenReceive(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// What is wrong with the protocol ends the session, with the trees of its commands, and disturbs no other session.
func TestBanditIsCutOff(t *testing.T) {
	h := &counter{Handler: newHandler(t, "")}
	srv := &session.Server{Handler: h}
	other := connect(t, srv)
	hexed := func(text string) string {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	frames := func(bodies ...string) func(b *bandit) {
		return func(b *bandit) {
			for _, body := range bodies {
				_, _ = b.control.Write(raw(body))
			}
		}
	}
	messages := func(m ...*proto.Message) func(b *bandit) { return func(b *bandit) { b.say(m...) } }
	for name, attack := range map[string]func(b *bandit){
		"garbage":               frames("\xff\xfe"),
		"a frame of nothing":    frames(""),
		"an endless frame":      func(b *bandit) { _, _ = b.control.Write([]byte{0x7f, 0xff, 0xff, 0xff}) },
		"a frame too long":      func(b *bandit) { _, _ = b.control.Write([]byte{0, 0x21, 0, 1}) },
		"half a frame":          func(b *bandit) { _, _ = b.control.Write(raw("\xa1\x63bye\xa0")[:5]); _ = b.control.CloseWrite() },
		"an unknown kind":       frames("\xa1\x64dial\xa0"),
		"two kinds":             frames("\xa2\x63bye\xa0\x68draining\xa0"),
		"no kind":               frames("\xa0"),
		"a key twice":           frames(hexed("a1 66") + "signal" + hexed("a3 62 6964 01 62 6964 01 64") + "name" + "\x63INT"),
		"an unknown field":      frames(hexed("a1 66") + "signal" + hexed("a3 62 6964 01 61 78 01 64") + "name" + "\x63INT"),
		"a field missing":       frames(hexed("a1 66") + "signal" + hexed("a1 62 6964 01")),
		"a wrong type":          frames(hexed("a1 66") + "signal" + hexed("a2 62 6964 61 31 64") + "name" + "\x63INT"),
		"a negative id":         frames(hexed("a1 66") + "signal" + hexed("a2 62 6964 20 64") + "name" + "\x63INT"),
		"a float":               frames(hexed("a1 66") + "signal" + hexed("a2 62 6964 f9 3c00 64") + "name" + "\x63INT"),
		"null":                  frames("\xa1\x63bye\xf6"),
		"a tag":                 frames("\xa1\x63bye\xc1\xa0"),
		"indefinite length":     frames("\xbf\x63bye\xa0\xff"),
		"text that is none":     frames(hexed("a1 66") + "signal" + hexed("a2 62 6964 01 64") + "name" + "\x62\xc3\x28"),
		"something behind":      frames("\xa1\x63bye\xa0\x00"),
		"an array of a lot":     frames("\xa1\x64exec\xa1\x64argv\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
		"deep nesting":          frames(strings.Repeat("\x81", 60000)),
		"a second hello":        messages(&proto.Message{Hello: &proto.Hello{Version: 1, Caps: []string{}}}),
		"started":               messages(started()),
		"ended":                 messages(ended(0, 0)),
		"draining":              messages(&proto.Message{Draining: &proto.Draining{}}),
		"refused":               messages(&proto.Message{Refused: &proto.Refused{ID: 1, Code: proto.CodeBusy}}),
		"signal for the future": messages(&proto.Message{Signal: &proto.Signal{ID: 77, Name: "KILL"}}),
		"resize of the future":  messages(&proto.Message{Resize: &proto.Resize{ID: 77}}),
		"data on status": func(b *bandit) {
			s, err := b.mux.OpenSend(b.t.Context())
			if err != nil {
				b.t.Fatal(err)
			}
			_, _ = io.WriteString(s, "x")
			b.nextID++
			b.say(&proto.Message{Exec: &proto.Exec{ID: b.nextID, Argv: [][]byte{[]byte("true")}, Status: s.ID()}})
		},
		"too many streams unclaimed": func(b *bandit) {
			for range 70 {
				if _, err := b.mux.OpenReceive(b.t.Context()); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			word := aeon()
			killAtEnd(t, word)
			b := newBandit(t, srv).greet()
			b.start("sleep", word)
			before := h.asked.Load()
			attack(b)
			err := b.end()
			if err == nil {
				t.Error("ServeConn: nil")
			}
			if left := alive(t, word); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if h.asked.Load() != before {
				t.Error("something was started")
			}
			if out, err := other.Command("echo", "fine").Output(); err != nil || string(out) != "fine\n" {
				t.Errorf("the other session: %q, %v", out, err)
			}
		})
	}
}

// Before a proper hello nothing is taken.
func TestBanditWithoutHello(t *testing.T) {
	h := &counter{Handler: newHandler(t, "")}
	srv := &session.Server{Handler: h}
	for name, first := range map[string]*proto.Message{
		"exec":            nil,
		"bye":             {Bye: &proto.Bye{}},
		"signal":          {Signal: &proto.Signal{ID: 1, Name: "INT"}},
		"another version": {Hello: &proto.Hello{Version: 2, Caps: []string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBandit(t, srv)
			cmd := b.prepare("true")
			if first != nil {
				b.say(first)
			}
			b.send(cmd)
			if err := b.end(); err == nil {
				t.Error("ServeConn: nil")
			}
			if m, err := cmd.frames.Next(); err == nil {
				t.Errorf("answer %+v", m)
			}
		})
	}
	if n := h.asked.Load(); n > 0 {
		t.Errorf("%d commands were started", n)
	}
}

// Streams that are never claimed end the session, in time.
func TestBanditNeverClaims(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		b := newBandit(t, &session.Server{}).greet()
		begin := time.Now()
		b.open()
		err := <-b.served
		b.ended = true
		if _, ok := errors.AsType[*mux.ViolationError](err); !ok {
			t.Errorf("ServeConn: %v", err)
		}
		if took := time.Since(begin); took < 30*time.Second || took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// A thousand signals and sizes at once, many more than anybody waits for, disturb nothing.
func TestBanditSignals(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		b := newBandit(t, &session.Server{Handler: newHandler(t, mode)}).greet()
		neighbour := b.cat()
		gone := b.start("true")
		gone.ends(t)
		cmd := b.start("sh", "-c", "trap '' USR1; trap 'exit 9' USR2; echo ready; while :; do sleep 0.01; done")
		readLine(t, cmd.stdout)
		for i := range amount(1000) {
			b.say(
				&proto.Message{Signal: &proto.Signal{ID: cmd.ID, Name: "USR1", To: proto.ToProcess}},
				&proto.Message{Signal: &proto.Signal{ID: cmd.ID, Name: "NOSUCH", To: proto.ToTree}},
				&proto.Message{Resize: &proto.Resize{ID: cmd.ID, Rows: uint16(i), Cols: 80}}, // it has no terminal
				&proto.Message{Signal: &proto.Signal{ID: gone.ID, Name: "KILL", To: proto.ToTree}},
			)
		}
		neighbour.echo()
		b.say(&proto.Message{Signal: &proto.Signal{ID: cmd.ID, Name: "USR2", To: proto.ToProcess}})
		if r := cmd.ends(t); r.How != proto.HowExited || r.Code != 9 {
			t.Errorf("record %+v", r)
		}
		neighbour.finish()
	})
}

// More commands than allowed are refused, and safe to send again.
func TestBanditIsBusy(t *testing.T) {
	h := &counter{Handler: newHandler(t, "")}
	b := newBandit(t, &session.Server{Handler: h, MaxCommands: 2}).greet()
	first, second := b.cat(), b.cat()
	for range 50 {
		cmd := b.prepare("true")
		b.send(cmd)
		m, err := cmd.frames.Next()
		if err != nil || m.Refused == nil || m.Refused.Code != proto.CodeBusy {
			t.Fatalf("answer %+v, %v", m, err)
		}
		_ = cmd.stdin.CloseWrite()
		_, _, _ = cmd.stdout.CancelRead(), cmd.stderr.CancelRead(), cmd.status.CancelRead()
	}
	first.finish()
	third := b.cat() // a place is free as soon as the record has come
	second.finish()
	third.finish()
	if n := h.started.Load(); n != 3 {
		t.Errorf("%d commands were started", n)
	}
}

// A client that reads nothing of a command stops that command alone.
func TestBanditDoesNotRead(t *testing.T) {
	b := newBandit(t, &session.Server{Handler: newHandler(t, "")}).greet()
	neighbour := b.cat()
	var stuck []*banditCommand
	for range 5 {
		stuck = append(stuck, b.start("sh", "-c", "yes | head -c 3000000; yes | head -c 3000000 >&2; exit 3"))
	}
	for range amount(100) {
		neighbour.echo()
	}
	neighbour.finish()
	for _, c := range stuck {
		other := make(chan int64)
		go func() {
			n, _ := io.Copy(io.Discard, c.stderr)
			other <- n
		}()
		n, err := io.Copy(io.Discard, c.stdout)
		if m := <-other; n != 3000000 || m != 3000000 || err != nil {
			t.Errorf("%d and %d bytes, %v", n, m, err)
		}
		if r := c.ends(t); r.Code != 3 || r.StdoutBytes != 3000000 || r.StderrBytes != 3000000 {
			t.Errorf("record %+v", r)
		}
	}
}

// Random bytes after the hello never start anything and never panic.
func FuzzControl(f *testing.F) {
	f.Add([]byte{})
	f.Add(raw("\xa1\x63bye\xa0"))
	f.Add(raw("\xa1\x66signal\xa2\x62id\x01\x64name\x63INT"))
	f.Add(append(raw("\xa1\x64exec\xa3\x62id\x01\x66status\x03\x64argv\x81\x44true"), 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		h := &counter{Handler: handlerFunc(func(context.Context, *session.Request) (session.Process, error) {
			return nil, proto.CodeUnsupported
		})}
		b := newBandit(t, &session.Server{Handler: h}).greet()
		status := b.open()
		_, _ = b.control.Write(bytes)
		_ = b.control.CloseWrite()
		_ = b.end() // must come
		_ = status.CancelRead()
	})
}

// A server that drains refuses what comes, whoever asks.
func TestBanditAsksADrainingServer(t *testing.T) {
	h := &counter{Handler: newHandler(t, "")}
	srv := &session.Server{Handler: h}
	b := newBandit(t, srv).greet()
	running := b.cat()
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	if m, err := b.frames.Next(); err != nil || m.Draining == nil {
		t.Fatalf("%+v, %v", m, err)
	}
	for range 5 {
		late := b.prepare("true")
		b.send(late)
		if m, err := late.frames.Next(); err != nil || m.Refused == nil || m.Refused.Code != proto.CodeShuttingDown {
			t.Errorf("answer %+v, %v", m, err)
		}
	}
	running.finish()
	if m, err := b.frames.Next(); err != nil || m.Bye == nil {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := b.frames.Next(); err == nil {
		t.Error("something comes after bye")
	}
	_ = b.mux.Close()
	if err := finish(t, "Shutdown", func() error { return <-down }); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := h.started.Load(); n != 1 {
		t.Errorf("%d commands were started", n)
	}
}

// Signals that are sent with the command wait until it runs.
func TestBanditSignalsBeforeTheStart(t *testing.T) {
	real := newHandler(t, "")
	came := make(chan struct{})
	b := newBandit(t, &session.Server{Handler: handlerFunc(func(ctx context.Context, req *session.Request) (session.Process, error) {
		if req.Name() == "sleep" {
			<-came // a slow start
		}
		return real.Start(ctx, req)
	})}).greet()
	cmd := b.prepare("sleep", "600")
	b.send(cmd)
	b.say(&proto.Message{Signal: &proto.Signal{ID: cmd.ID, Name: "USR1"}}, &proto.Message{Signal: &proto.Signal{ID: cmd.ID, Name: "TERM"}})
	b.cat().finish() // what was said before has been taken
	close(came)
	if r := cmd.ends(t); r.How != proto.HowSignaled || r.Signal == nil || r.Signal.Name != "USR1" {
		t.Errorf("record %+v", r)
	}
}

// A client that asks and asks and never reads the answers is cut off before they fill the server's memory.
func TestBanditNeverReadsAnswers(t *testing.T) {
	b := newBandit(t, &session.Server{}).greet()
	exec := &proto.Exec{Argv: [][]byte{[]byte("true")}, Status: 9999} // to be refused on control
	for n := 0; b.mux.Err() == nil; n++ {
		if n > 100000 {
			t.Fatal("it is not")
		}
		b.nextID++
		exec.ID = b.nextID
		b.say(&proto.Message{Exec: exec})
	}
	_ = b.end()
}
