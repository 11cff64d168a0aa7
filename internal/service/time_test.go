//go:build linux || darwin || freebsd

package service

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/sessiontest"
)

// Times, in bubbles where they pass at once and exactly.

// A stub is a program of the test's making. It ends when it is told to.
type stub struct {
	session.Process // what is not here is not called

	stdin  *io.PipeWriter
	input  *io.PipeReader
	stdout *stubOutput
	stderr *stubOutput
	exit   func() // more than once does nothing
	exited chan struct{}
}

func newStub() *stub {
	p := &stub{stdout: newStubOutput(), stderr: newStubOutput(), exited: make(chan struct{})}
	p.input, p.stdin = io.Pipe()
	p.exit = sync.OnceFunc(func() { close(p.exited) })
	return p
}

func (p *stub) Stdin() io.WriteCloser  { return p.stdin }
func (p *stub) Stdout() session.Output { return p.stdout }
func (p *stub) Stderr() session.Output { return p.stderr }
func (p *stub) Release() error         { return nil }

func (p *stub) Wait() (session.Exit, error) {
	<-p.exited
	return session.Exit{}, nil
}

// End ends the program and whoever holds its output.
func (p *stub) End(context.Context) error {
	p.exit()
	p.stdout.end()
	p.stderr.end()
	_ = p.input.Close()
	return nil
}

// A stubOutput is what a stub writes.
type stubOutput struct {
	parts chan []byte
	part  []byte
	ended chan struct{}
	end   func() // more than once does nothing
}

func newStubOutput() *stubOutput {
	o := &stubOutput{parts: make(chan []byte, 10), ended: make(chan struct{})}
	o.end = sync.OnceFunc(func() { close(o.ended) })
	return o
}

func (o *stubOutput) WaitReadable() error {
	select {
	case o.part = <-o.parts:
	case <-o.ended:
	}
	return nil
}

// Read fails on an empty part.
func (o *stubOutput) Read(p []byte) (int, error) {
	n := copy(p, o.part)
	o.part = nil
	if n > 0 {
		return n, nil
	}
	select {
	case <-o.ended:
		return 0, io.EOF
	default:
		return 0, os.ErrInvalid
	}
}

func (o *stubOutput) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

func (o *stubOutput) Close() error {
	o.end()
	return nil
}

// A stage is a client and its program in a bubble.
type stage struct {
	t       *testing.T
	service *Service
	program *stub
	client  net.Conn
	began   time.Time
	log     *logbook
}

// bubble runs a test with a client of s.
func bubble(t *testing.T, s *Service, test func(b *stage)) {
	synctest.Test(t, func(t *testing.T) {
		b := &stage{t: t, service: s, program: newStub(), log: &logbook{}, began: time.Now()}
		s.Log = slog.New(slog.NewJSONHandler(b.log, nil))
		s.Start = func(context.Context, Client) (session.Process, error) { return b.program, nil }
		network := sessiontest.NewNetwork(t)
		l, err := network.Host("server").Listen(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		go s.Serve(l) // ends with the listener, below
		if b.client, err = network.Host("client").Dial(t.Context(), "server:1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		test(b)
		_ = s.Close()
		_ = s.Shutdown(context.Background())
		_ = b.client.Close()
	})
}

// wantEnd wants the connection to have ended so long after its beginning.
func (b *stage) wantEnd(after time.Duration, how string) {
	b.t.Helper()
	time.Sleep(after - time.Since(b.began) - time.Nanosecond)
	synctest.Wait()
	if lines := b.log.with("connection ended"); len(lines) > 0 {
		b.t.Errorf("ended before %v: %v", after, lines[0])
	}
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	lines := b.log.with("connection ended")
	if len(lines) != 1 || lines[0]["how"] != how {
		b.t.Errorf("not ended after %v, or not by %s: %v", after, how, lines)
	}
}

// wantEnded wants the connection to have ended by now.
func (b *stage) wantEnded(how string) {
	b.t.Helper()
	synctest.Wait()
	if lines := b.log.with("connection ended"); len(lines) != 1 || lines[0]["how"] != how {
		b.t.Errorf("not ended by now, or not by %s: %v", how, lines)
	}
}

// consume has the program read.
func (b *stage) consume() { go io.Copy(io.Discard, b.program.input) }

func TestIdleTime(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) { b.wantEnd(DefaultIdle, howIdle) })
	bubble(t, &Service{Limits: Limits{Idle: time.Minute}}, func(b *stage) {
		b.consume()
		time.Sleep(50 * time.Second)
		_, _ = b.client.Write([]byte("x"))
		time.Sleep(50 * time.Second)
		b.program.stdout.parts <- []byte("y")
		b.wantEnd(160*time.Second, howIdle)
	})
	bubble(t, &Service{Limits: Limits{Idle: -1, Total: 24 * time.Hour}}, func(b *stage) { b.wantEnd(24*time.Hour, howTotal) })
}

// What is not taken has not moved: output that nobody reads is idle, and so is
// input.
func TestBlockedIsIdle(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) {
		for range 10 {
			b.program.stdout.parts <- make([]byte, chunk)
		}
		b.wantEnd(DefaultIdle, howIdle)
	})
	bubble(t, &Service{}, func(b *stage) {
		go b.client.Write(make([]byte, 1<<20))
		b.wantEnd(DefaultIdle, howIdle)
	})
}

// finish ends the program and its output.
func (b *stage) finish() {
	b.program.exit()
	b.program.stdout.end()
}

func TestLingerTime(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) {
		b.finish()
		b.wantEnd(DefaultLingerIdle, howExited)
	})
	bubble(t, &Service{}, func(b *stage) {
		b.finish()
		time.Sleep(time.Second)
		_, _ = b.client.Write([]byte("x"))
		b.wantEnd(time.Second+DefaultLingerIdle, howExited)
	})
	bubble(t, &Service{}, func(b *stage) {
		b.finish()
		var writing sync.WaitGroup
		defer writing.Wait()
		writing.Go(func() { // ends with the connection
			for {
				if _, err := b.client.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		b.wantEnd(DefaultLingerTotal, howExited)
	})
	bubble(t, &Service{Linger: Linger{Idle: time.Minute}}, func(b *stage) {
		b.finish()
		time.Sleep(10 * time.Second)
		_ = b.client.(halfConn).CloseWrite()
		b.wantEnded(howExited)
	})
	bubble(t, &Service{Linger: Linger{Idle: -1}}, func(b *stage) {
		b.finish()
		b.wantEnded(howExited)
	})
}

// Only silence after the program's end counts.
func TestDrainTime(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) {
		time.Sleep(time.Minute)
		b.program.exit()
		b.wantEnd(time.Minute+defaultDrain, howAbandoned)
	})
	bubble(t, &Service{Drain: time.Second}, func(b *stage) {
		b.program.exit()
		for range 5 {
			time.Sleep(900 * time.Millisecond)
			b.program.stdout.parts <- []byte("x")
		}
		b.wantEnd(5500*time.Millisecond, howAbandoned)
	})
}

// An output that fails is not one that ends.
func TestBrokenOutput(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) {
		b.program.stdout.parts <- nil
		b.wantEnded(howBroken)
	})
}

// Shutdown does not cut a client off from an answer that was sent.
func TestShutdownWhileLingering(t *testing.T) {
	bubble(t, &Service{}, func(b *stage) {
		b.program.stdout.parts <- []byte("answer")
		synctest.Wait()
		b.finish()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.service.Shutdown(ctx)
		if answer, err := io.ReadAll(b.client); string(answer) != "answer" || err != nil {
			b.t.Errorf("%q, %v", answer, err)
		}
		if time.Since(b.began) > time.Second {
			b.t.Error("Shutdown waited for the client")
		}
	})
}

func TestBucket(t *testing.T) {
	b := bucket{burst: 3, every: time.Second}
	now := time.Unix(1_000_000, 0)
	for i, c := range []struct {
		after      time.Duration
		suppressed int
		ok         bool
	}{
		{0, 0, true},
		{0, 0, true},
		{0, 0, true},
		{0, 0, false},
		{999 * time.Millisecond, 0, false},
		{time.Millisecond, 2, true},
		{0, 0, false},
		{time.Second, 1, true},
		{0, 0, false},
		{time.Hour, 1, true},
		{0, 0, true},
		{0, 0, true},
		{0, 0, false},
		{500 * time.Millisecond, 0, false},
		{500 * time.Millisecond, 2, true},
	} {
		now = now.Add(c.after)
		if suppressed, ok := b.take(now); suppressed != c.suppressed || ok != c.ok {
			t.Errorf("step %d: %d, %v", i, suppressed, ok)
		}
	}
}
