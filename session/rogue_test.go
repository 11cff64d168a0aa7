//go:build unix

package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// What the tests of hostile_server_test.go are made of.

// A rogue is the server's side of a session, written by hand.
type rogue struct {
	t       *testing.T
	mux     *mux.Session
	control *mux.DuplexStream
	frames  *proto.Reader
}

// rogueServer joins a client to a server that does what the script says. The script's end is not the session's.
func rogueServer(t *testing.T, script func(r *rogue)) *session.Client {
	t.Helper()
	near, far := muxtest.Memory().Pair(t)
	client, err := session.NewClient(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{t: t}
	if r.mux, err = mux.Server(far, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r.control, err = r.mux.AcceptControl(context.Background()); err != nil {
			return
		}
		r.frames = proto.NewReader(r.control, proto.MaxExecFrame)
		script(r)
	}()
	t.Cleanup(func() {
		_ = client.Close()
		_ = r.mux.Close()
		<-done
	})
	return client
}

// say writes messages to a stream. The client may have gone away from it already.
func (r *rogue) say(w io.Writer, messages ...*proto.Message) {
	for _, m := range messages {
		frame, err := proto.Append(nil, m)
		if err != nil {
			r.t.Errorf("the test's own message: %v", err)
		}
		_, _ = w.Write(frame)
	}
}

func hello() *proto.Message {
	return &proto.Message{Hello: &proto.Hello{Version: proto.Version, Software: "rogue", Caps: []string{}, MaxCommands: 9, MaxFrame: proto.MaxExecFrame}}
}

// settle waits until nothing moves any more: time passes in a bubble only then.
func (r *rogue) settle() { time.Sleep(time.Second) }

// greet exchanges hellos.
func (r *rogue) greet() {
	r.say(r.control, hello())
	if m, err := r.frames.Next(); err != nil || m.Hello == nil {
		r.t.Errorf("client's hello: %v, %v", m, err)
	}
}

// A rogueCommand is what the rogue has of a command: the exec and its streams.
type rogueCommand struct {
	*proto.Exec
	status, stdout, stderr *mux.SendStream
	stdin                  *mux.ReceiveStream
}

// command takes the next command.
func (r *rogue) command() *rogueCommand {
	for {
		m, err := r.frames.Next()
		if err != nil {
			return nil
		}
		if m.Exec != nil {
			return r.take(m.Exec)
		}
	}
}

func (r *rogue) take(e *proto.Exec) *rogueCommand {
	c := &rogueCommand{Exec: e}
	var errs [4]error
	c.status, errs[0] = r.mux.TakeSend(e.Status)
	if e.Stdin != 0 {
		c.stdin, errs[1] = r.mux.TakeReceive(e.Stdin)
	}
	if e.Stdout != 0 {
		c.stdout, errs[2] = r.mux.TakeSend(e.Stdout)
	}
	if e.Stderr != 0 && e.Stderr != e.Stdout {
		c.stderr, errs[3] = r.mux.TakeSend(e.Stderr)
	}
	if err := errors.Join(errs[:]...); err != nil {
		r.t.Errorf("the client's streams: %v", err)
	}
	return c
}

func started() *proto.Message { return &proto.Message{Started: &proto.Started{PID: 42}} }
func exited(code uint64) *proto.Message {
	return &proto.Message{Exited: &proto.Exited{Code: code}}
}

// ended is a record of a command that said n bytes on stdout.
func ended(code, n uint64) *proto.Message {
	return &proto.Message{Ended: &proto.Ended{How: proto.HowExited, Code: code, StdoutBytes: n, Output: proto.OutputComplete}}
}

// done sends the record and ends all streams, as a good server does.
func (r *rogue) done(c *rogueCommand, record *proto.Message) {
	for _, s := range []*mux.SendStream{c.stdout, c.stderr} {
		if s != nil {
			_ = s.CloseWrite()
		}
	}
	r.say(c.status, record)
	_ = c.status.CloseWrite()
	if c.stdin != nil {
		_ = c.stdin.CancelRead()
	}
}

// raw is a frame with that body, whatever it is.
func raw(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// verdict is what a test wants of a command that a rogue served.
type verdict struct {
	is      []error // what the error is
	text    string  // what it says
	missing bool    // it is an ExitMissingError
	started bool    // of which: the command was started
	exited  bool    // of which: its exit is known
	over    bool    // the session has ended too
	out     string  // what Output returned
}

func (v *verdict) check(t *testing.T, client *session.Client, out []byte, err error) {
	t.Helper()
	for _, want := range v.is {
		if !errors.Is(err, want) {
			t.Errorf("error %v is not %v", err, want)
		}
	}
	if len(v.is) == 0 && !v.missing && v.text == "" && err != nil {
		t.Errorf("error %v", err)
	}
	if v.text != "" && (err == nil || !strings.Contains(err.Error(), v.text)) {
		t.Errorf("error %v does not say %q", err, v.text)
	}
	missing, ok := errors.AsType[*session.ExitMissingError](err)
	if ok != v.missing {
		t.Errorf("error %v: an ExitMissingError %v", err, ok)
	} else if ok && (missing.Started != v.started || (missing.Exited != nil) != v.exited) {
		t.Errorf("error %v: %+v", err, missing)
	}
	if err != nil && strings.ContainsAny(err.Error(), "\x1b\x07\n") {
		t.Errorf("not escaped: %q", err)
	}
	if string(out) != v.out {
		t.Errorf("output %q, want %q", out, v.out)
	}
	if over := client.Err() != nil; over != v.over {
		t.Errorf("the session has ended: %v", client.Err())
	}
}
