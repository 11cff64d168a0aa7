//go:build unix

package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// What the tests of hostile_client_test.go are made of.

// A counter counts the commands that were asked of a handler and those that it started.
type counter struct {
	session.Handler
	asked, started atomic.Int64
}

func (c *counter) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	c.asked.Add(1)
	p, err := c.Handler.Start(ctx, req)
	if err == nil {
		c.started.Add(1)
	}
	return p, err
}

// A bandit is the client's side of a session, written by hand.
type bandit struct {
	t       *testing.T
	mux     *mux.Session
	control *mux.DuplexStream
	frames  *proto.Reader
	served  chan error
	nextID  uint64
	ended   bool // the test has seen the session's end
}

func newBandit(t *testing.T, srv *session.Server) *bandit {
	t.Helper()
	near, far := muxtest.Memory().Pair(t)
	b := &bandit{t: t, served: make(chan error, 1)}
	go func() { b.served <- srv.ServeConn(context.Background(), far, session.Peer{User: "bandit"}) }()
	var err error
	if b.mux, err = mux.Client(near, nil); err != nil {
		t.Fatal(err)
	}
	if b.control, err = b.mux.OpenControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.frames = proto.NewReader(b.control, proto.MaxFrame)
	t.Cleanup(func() {
		_ = b.mux.Close()
		if b.ended {
			return
		}
		if err := b.end(); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
	})
	return b
}

// end waits for ServeConn.
func (b *bandit) end() error {
	b.t.Helper()
	b.ended = true
	return finish(b.t, "ServeConn", func() error { return <-b.served })
}

// greet exchanges hellos.
func (b *bandit) greet() *bandit {
	b.t.Helper()
	b.say(&proto.Message{Hello: &proto.Hello{Version: proto.Version, Software: "bandit", Caps: []string{}, MaxFrame: proto.MaxFrame}})
	if m, err := b.frames.Next(); err != nil || m.Hello == nil {
		b.t.Fatalf("the server's hello: %v, %v", m, err)
	}
	return b
}

// say sends messages. The server may have ended the session already.
func (b *bandit) say(messages ...*proto.Message) {
	for _, m := range messages {
		frame, err := proto.Append(nil, m)
		if err != nil {
			b.t.Errorf("the test's own message: %v", err)
		}
		_, _ = b.control.Write(frame)
	}
}

// A banditCommand is a command with all its streams.
type banditCommand struct {
	*proto.Exec
	stdin                  *mux.SendStream
	stdout, stderr, status *mux.ReceiveStream
	frames                 *proto.Reader
}

// prepare opens streams for a command and writes its exec, without sending it.
func (b *bandit) prepare(argv ...string) *banditCommand {
	b.t.Helper()
	c := &banditCommand{}
	var errs [4]error
	c.status, errs[0] = b.mux.OpenReceive(b.t.Context())
	c.stdin, errs[1] = b.mux.OpenSend(b.t.Context())
	c.stdout, errs[2] = b.mux.OpenReceive(b.t.Context())
	c.stderr, errs[3] = b.mux.OpenReceive(b.t.Context())
	if err := errors.Join(errs[:]...); err != nil {
		b.t.Fatal(err)
	}
	b.nextID++
	c.frames = proto.NewReader(c.status, proto.MaxFrame)
	c.Exec = &proto.Exec{ID: b.nextID, Status: c.status.ID(), Stdin: c.stdin.ID(), Stdout: c.stdout.ID(), Stderr: c.stderr.ID()}
	for _, a := range argv {
		c.Argv = append(c.Argv, []byte(a))
	}
	return c
}

func (b *bandit) send(c *banditCommand) { b.say(&proto.Message{Exec: c.Exec}) }

// start starts a command and waits until it runs.
func (b *bandit) start(argv ...string) *banditCommand {
	b.t.Helper()
	c := b.prepare(argv...)
	b.send(c)
	if m, err := c.frames.Next(); err != nil || m.Started == nil {
		b.t.Fatalf("%v: %+v, %v", argv, m, err)
	}
	return c
}

// ends reads the status stream of a running command to its end and returns the record.
func (c *banditCommand) ends(t *testing.T) *proto.Ended {
	t.Helper()
	for {
		m, err := c.frames.Next()
		if err != nil {
			t.Errorf("the status stream ended without a record: %v", err)
			return &proto.Ended{}
		}
		if m.Ended != nil {
			if _, err := c.frames.Next(); err != io.EOF {
				t.Errorf("after the record: %v", err)
			}
			return m.Ended
		}
	}
}

// cat is a command that shows whether it is disturbed.
type cat struct {
	t *testing.T
	*banditCommand
	lines int
}

func (b *bandit) cat() *cat { return &cat{b.t, b.start("cat"), 0} }

// echo sends a line through the command.
func (c *cat) echo() {
	c.t.Helper()
	c.lines++
	line := fmt.Sprintf("line %d", c.lines)
	if _, err := io.WriteString(c.stdin, line+"\n"); err != nil {
		c.t.Errorf("write: %v", err)
		return
	}
	if got := readLine(c.t, c.stdout); got != line {
		c.t.Errorf("line %q, want %q", got, line)
	}
}

func (c *cat) finish() {
	c.t.Helper()
	c.echo()
	_ = c.stdin.CloseWrite()
	_ = c.stderr.CancelRead()
	if rest, err := io.ReadAll(c.stdout); err != nil || len(rest) > 0 {
		c.t.Errorf("rest %q, %v", rest, err)
	}
	if r := c.ends(c.t); r.How != proto.HowExited || r.Code != 0 || r.StdinBytes != r.StdoutBytes {
		c.t.Errorf("record %+v", r)
	}
}
