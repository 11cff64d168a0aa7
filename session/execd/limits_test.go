//go:build unix

package execd

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A fakeProcess has streams in memory, and nothing else.
type fakeProcess struct {
	session.Process
	in  bytes.Buffer
	out session.Output
}

func (f *fakeProcess) Pid() int               { return 7 }
func (f *fakeProcess) Stdin() io.WriteCloser  { return nopCloser{&f.in} }
func (f *fakeProcess) Stdout() session.Output { return f.out }
func (f *fakeProcess) Stderr() session.Output { return nil }
func (f *fakeProcess) Release() error         { return nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

type fakeOutput struct{ io.Reader }

func (fakeOutput) Close() error                    { return nil }
func (fakeOutput) WaitReadable() error             { return nil }
func (fakeOutput) SetReadDeadline(time.Time) error { return nil }

// limited is such a process with limits, and what its log gets.
func limited(l Limits) (*fakeProcess, session.Bounded, *bytes.Buffer) {
	f := &fakeProcess{out: fakeOutput{strings.NewReader(strings.Repeat("x", 100))}}
	var log bytes.Buffer
	return f, withLimits(f, l, slog.New(slog.NewTextHandler(&log, nil))).(session.Bounded), &log
}

// exceeded is how the process is to end, empty if it may go on.
func exceeded(b session.Bounded) proto.How {
	synctest.Wait()
	select {
	case how := <-b.Exceeded():
		return how
	default:
		return ""
	}
}

func TestLimitsOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, log := limited(Limits{Total: 10 * time.Second, Idle: 4 * time.Second})
		for range 3 { // never idle for long
			time.Sleep(3 * time.Second)
			if _, err := b.Stdin().Write([]byte("x")); err != nil || exceeded(b) != "" {
				t.Fatalf("after %v: %v", 3*time.Second, err)
			}
		}
		time.Sleep(time.Second)
		if how := exceeded(b); how != proto.HowTimeout || !strings.Contains(log.String(), "limit=timeout") {
			t.Errorf("in all: %q\n%s", how, log)
		}
		if err := b.Release(); err != nil {
			t.Error(err)
		}

		_, b, log = limited(Limits{Idle: 4 * time.Second})
		time.Sleep(3 * time.Second)
		if _, err := b.Stdout().Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		time.Sleep(4*time.Second - 1)
		if how := exceeded(b); how != "" {
			t.Errorf("too early: %q", how)
		}
		time.Sleep(time.Nanosecond)
		if how := exceeded(b); how != proto.HowTimeout || strings.Count(log.String(), "limit=idle") != 1 {
			t.Errorf("idle: %q\n%s", how, log)
		}
		_ = b.Release()

		_, b, log = limited(Limits{Idle: time.Second, Total: time.Minute})
		_ = b.Release()
		time.Sleep(time.Hour)
		if how := exceeded(b); how != "" || log.Len() > 0 {
			t.Errorf("after its end: %q\n%s", how, log)
		}
	})
}

func TestLimitsOfBytes(t *testing.T) {
	f, b, log := limited(Limits{Input: 10, Output: 20})
	if n, err := b.Stdin().Write(make([]byte, 10)); n != 10 || err != nil {
		t.Error(n, err)
	}
	if n, err := io.ReadFull(b.Stdout(), make([]byte, 20)); n != 20 || err != nil {
		t.Error(n, err)
	}
	select {
	case how := <-b.Exceeded():
		t.Errorf("within the limits: %q", how)
	default:
	}
	if n, err := b.Stdin().Write([]byte("x")); n != 0 || !errors.Is(err, errExceeded) || f.in.Len() != 10 {
		t.Errorf("%d, %v, %d bytes came", n, err, f.in.Len())
	}
	if n, err := b.Stdout().Read(make([]byte, 1)); n != 0 || !errors.Is(err, errExceeded) {
		t.Error(n, err)
	}
	if how := <-b.Exceeded(); how != proto.HowKilled || strings.Count(log.String(), "max_input") != 1 || strings.Contains(log.String(), "max_output") {
		t.Errorf("%q, log:\n%s", how, log)
	}
	if b.Stderr() != nil {
		t.Error("a stream that is not there")
	}
}

func TestNoLimits(t *testing.T) {
	f := &fakeProcess{}
	if withLimits(f, Limits{}, nil) != session.Process(f) {
		t.Error("it is wrapped")
	}
}
