//go:build unix

package session_test

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session"
)

// An instant is a process that is none: everything about it ends almost at the same moment.
type instant struct{ exit, stdout, stderr chan struct{} }

func startInstant(context.Context, *session.Request) (session.Process, error) {
	p := instant{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	go func() {
		for _, c := range []chan struct{}{p.exit, p.stdout, p.stderr} {
			for begin, pause := time.Now(), rand.N(30*time.Microsecond); time.Since(begin) < pause; {
			}
			close(c)
		}
	}()
	return p, nil
}

func (p instant) Wait() (session.Exit, error) {
	<-p.exit
	return session.Exit{Started: time.Now(), Ended: time.Now()}, nil
}

func (p instant) Stdout() session.Output              { return instantOutput{p.stdout} }
func (p instant) Stderr() session.Output              { return instantOutput{p.stderr} }
func (p instant) Stdin() io.WriteCloser               { return nil }
func (p instant) Pid() int                            { return 1 }
func (p instant) DroppedEnv() []string                { return nil }
func (p instant) Signal(string, session.Target) error { return nil }
func (p instant) Resize(rows, cols uint16) error      { return nil }
func (p instant) Hangup() error                       { return nil }
func (p instant) End(context.Context) error           { return nil }
func (p instant) Kill() error                         { return nil }
func (p instant) Release() error                      { return nil }

type instantOutput struct{ end chan struct{} }

func (o instantOutput) WaitReadable() error             { <-o.end; return nil }
func (o instantOutput) Read([]byte) (int, error)        { return 0, io.EOF }
func (o instantOutput) SetReadDeadline(time.Time) error { return nil }
func (o instantOutput) Close() error                    { return nil }

// However close together the ends of a command come, none is missed.
func TestEndsAtTheSameMoment(t *testing.T) {
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	link := connect(t, &session.Server{Handler: handlerFunc(startInstant)}).greeted()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range rounds {
				cmd := link.Command("instant")
				cmd.Stdout, cmd.Stderr = io.Discard, sliceWriter{}
				if err := cmd.Run(); err != nil {
					t.Errorf("Run: %v", err)
				}
			}
		})
	}
	_ = finish(t, "all commands end", func() error { wg.Wait(); return nil })
}
