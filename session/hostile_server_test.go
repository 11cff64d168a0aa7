//go:build unix

package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Servers that are wrong, slow or hostile. Each test is a bubble, so that all bounds are reached at once.

// TestRogueCommand runs one command with Output against servers that do one thing wrong, or nothing.
func TestRogueCommand(t *testing.T) {
	lost := []error{session.ErrConnLost}
	truncated := []error{session.ErrTruncated}
	for name, c := range map[string]struct {
		serve func(r *rogue, c *rogueCommand)
		want  verdict
	}{
		"good": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			r.say(c.status, exited(0))
			r.done(c, ended(0, 3))
		}, verdict{out: "out"}},
		"output before started": {func(r *rogue, c *rogueCommand) {
			_, _ = io.WriteString(c.stdout, "out")
			r.say(c.status, started())
			r.done(c, ended(0, 3)) // no exited
		}, verdict{out: "out"}},
		"counts too much": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			r.done(c, ended(0, 4))
		}, verdict{is: truncated, out: "out"}},
		"counts too little": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			r.done(c, ended(0, 2))
		}, verdict{is: truncated, out: "out"}},
		"counts wrong and fails": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			r.done(c, ended(3, 1))
		}, verdict{is: truncated, text: "exit status 3"}},
		"counts stderr wrong": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			m := ended(0, 0)
			m.Ended.StderrBytes = 1
			r.done(c, m)
		}, verdict{is: truncated, text: "stderr"}},
		"counts more stdin than was sent": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			m := ended(0, 0)
			m.Ended.StdinBytes = 3
			r.done(c, m)
		}, verdict{is: truncated, text: "stdin"}},
		"no record": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			_, _ = c.stdout.CloseWrite(), c.stderr.CloseWrite()
			_ = c.status.CloseWrite()
		}, verdict{missing: true, started: true, text: "without a record", out: "out"}},
		"no record and no end of output": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			_ = c.status.CloseWrite()
		}, verdict{missing: true, started: true, text: "without a record", out: "out"}},
		"a record and no end of output": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			r.say(c.status, ended(0, 3))
			_ = c.status.CloseWrite()
		}, verdict{is: truncated, text: "did not end stdout", out: "out"}},
		"exited but no record": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started(), exited(7))
			_, _ = c.stdout.CloseWrite(), c.stderr.CloseWrite()
			_ = c.status.CloseWrite()
		}, verdict{missing: true, started: true, exited: true, text: "exited with status 7"}},
		"killed but no record": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started(), &proto.Message{Exited: &proto.Exited{Signal: &proto.SignalInfo{Number: 9, Name: "KILL"}}})
			r.settle()
			_ = r.mux.Close()
		}, verdict{missing: true, started: true, exited: true, is: lost, text: "KILL", over: true}},
		"nothing at all": {func(_ *rogue, c *rogueCommand) {
			_ = c.status.CloseWrite()
		}, verdict{missing: true}},
		"ended without started": {func(r *rogue, c *rogueCommand) {
			r.done(c, ended(0, 0))
		}, verdict{missing: true, text: "status begins with ended"}},
		"exited without started": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, exited(0))
		}, verdict{missing: true, text: "status begins with exited"}},
		"started twice": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started(), started())
		}, verdict{missing: true, started: true, text: "unexpected started"}},
		"exited twice": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started(), exited(0), exited(1))
		}, verdict{missing: true, started: true, exited: true, text: "unexpected exited"}},
		"refused after started": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started(), &proto.Message{Refused: &proto.Refused{ID: c.ID, Code: proto.CodeBusy}})
		}, verdict{missing: true, started: true, text: "unexpected refused"}},
		"refused with another id": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, &proto.Message{Refused: &proto.Refused{ID: c.ID + 1, Code: proto.CodeBusy}})
		}, verdict{missing: true, text: "status begins with refused"}},
		"the wrong messages": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, hello())
		}, verdict{missing: true, text: "status begins with hello"}},
		"ended twice: the first one counts": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = c.stdout.CloseWrite(), c.stderr.CloseWrite()
			r.say(c.status, ended(0, 0), ended(5, 0))
			_ = c.status.CloseWrite()
		}, verdict{}},
		"garbage": {func(_ *rogue, c *rogueCommand) {
			_, _ = c.status.Write(raw("\xff\xff\xff"))
		}, verdict{missing: true}},
		"garbage after started": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = c.status.Write(raw("\xa1\x65ended\xa0"))
		}, verdict{missing: true, started: true}},
		"a frame of nothing": {func(_ *rogue, c *rogueCommand) {
			_, _ = c.status.Write(raw(""))
		}, verdict{missing: true}},
		"an endless frame": {func(_ *rogue, c *rogueCommand) {
			_, _ = c.status.Write([]byte{0xff, 0xff, 0xff, 0xff})
		}, verdict{missing: true, text: "frame of 4294967295 bytes"}},
		"half a frame": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = c.status.Write(raw("\xa1\x65ended")[:6])
			_, _ = c.stdout.CloseWrite(), c.stderr.CloseWrite()
			_ = c.status.CloseWrite()
		}, verdict{missing: true, started: true}},
		"half a frame, then silence and the end": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = c.status.Write(raw("\xa1\x65ended")[:6])
			r.settle()
			_ = r.mux.Close()
		}, verdict{missing: true, started: true, is: lost, over: true}},
		"endless text": {func(_ *rogue, c *rogueCommand) {
			_, _ = c.status.Write(raw("\xa1\x67refused\xa3\x62id\x01\x64code\x64busy\x67message\x79\x08\x00" + strings.Repeat("x", 2048)))
		}, verdict{missing: true}},
		"refused": {func(r *rogue, c *rogueCommand) {
			r.done(c, &proto.Message{Refused: &proto.Refused{ID: c.ID, Code: proto.CodeNotFound, Message: "gone"}})
		}, verdict{is: []error{session.ErrNotFound, proto.CodeNotFound}, text: `"gone"`}},
		"refused with escapes": {func(r *rogue, c *rogueCommand) {
			r.done(c, &proto.Message{Refused: &proto.Refused{ID: c.ID, Code: proto.CodeBusy, Message: "\x1b]0;title\x07\nline"}})
		}, verdict{is: []error{proto.CodeBusy}, text: `\x1b`}},
		"refused with an unknown code": {func(r *rogue, c *rogueCommand) {
			r.done(c, &proto.Message{Refused: &proto.Refused{ID: c.ID, Code: "of_tomorrow", Message: "new"}})
		}, verdict{is: []error{proto.Code("of_tomorrow")}, text: "new"}},
		"refused on control": {func(r *rogue, c *rogueCommand) {
			r.say(r.control, &proto.Message{Refused: &proto.Refused{ID: c.ID, Code: proto.CodeBadStream}})
		}, verdict{is: []error{proto.CodeBadStream}}},
		"refused on control when it runs": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			r.say(r.control, &proto.Message{Refused: &proto.Refused{ID: 99, Code: proto.CodeBusy}})
			r.done(c, ended(0, 0))
		}, verdict{}},
		"garbage on control": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = r.control.Write(raw("\x00"))
		}, verdict{missing: true, started: true, is: lost, text: "proto:", over: true}},
		"a second hello": {func(r *rogue, _ *rogueCommand) {
			r.say(r.control, hello())
		}, verdict{missing: true, is: lost, text: "unexpected hello", over: true}},
		"a client's message on control": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			r.say(r.control, &proto.Message{Signal: &proto.Signal{ID: 1, Name: "KILL"}})
		}, verdict{missing: true, started: true, is: lost, text: "unexpected signal", over: true}},
		"cut": {func(r *rogue, _ *rogueCommand) { r.settle(); _ = r.mux.Close() }, verdict{missing: true, is: lost, over: true}},
		"cut while it runs": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			_, _ = io.WriteString(c.stdout, "out")
			r.settle()
			_ = r.mux.Shutdown(r.t.Context())
		}, verdict{missing: true, started: true, is: lost, text: "its end is unknown", over: true, out: "out"}},
		"bye while it runs": {func(r *rogue, c *rogueCommand) {
			r.say(c.status, started())
			r.say(r.control, &proto.Message{Bye: &proto.Bye{}})
			r.settle()
			_ = r.mux.Shutdown(r.t.Context())
		}, verdict{missing: true, started: true, is: lost, over: true}},
		"stdin is stopped at once": {func(r *rogue, c *rogueCommand) {
			_ = c.stdin.CancelRead()
			r.say(c.status, started())
			r.done(c, ended(0, 0))
		}, verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			muxtest.Bubble(t, func(t *testing.T) {
				client := rogueServer(t, func(r *rogue) {
					r.greet()
					c.serve(r, r.command())
				})
				cmd := client.Command("anything")
				cmd.Stdin = strings.NewReader("in")
				out, err := cmd.Output()
				c.want.check(t, client, out, err)
				if (err == nil) != (cmd.ProcessState != nil && cmd.ProcessState.Success()) && !errors.Is(err, session.ErrTruncated) {
					t.Errorf("error %v, state %v", err, cmd.ProcessState)
				}
			})
		})
	}
}

// A hello that is wrong ends the session; one that is missing does not matter.
func TestRogueHello(t *testing.T) {
	for name, c := range map[string]struct {
		hello *proto.Message
		want  verdict
	}{
		"none":              {nil, verdict{}},
		"draining":          {&proto.Message{Draining: &proto.Draining{}}, verdict{missing: true, is: []error{session.ErrConnLost}, text: "not hello but draining", over: true}},
		"of another kind":   {started(), verdict{missing: true, is: []error{session.ErrConnLost}, text: "not hello but started", over: true}},
		"another version":   {&proto.Message{Hello: &proto.Hello{Version: 2, Caps: []string{}}}, verdict{missing: true, is: []error{session.ErrConnLost}, text: "version", over: true}},
		"no commands":       {&proto.Message{Hello: &proto.Hello{Version: 1, Caps: []string{}}}, verdict{}},
		"too many commands": {&proto.Message{Hello: &proto.Hello{Version: 1, MaxCommands: 4e9, Caps: []string{"unknown"}}}, verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			muxtest.Bubble(t, func(t *testing.T) {
				client := rogueServer(t, func(r *rogue) {
					cmd := r.command()
					if c.hello != nil {
						r.say(r.control, c.hello)
					}
					if !c.want.over && cmd != nil {
						r.say(cmd.status, started())
						r.done(cmd, ended(0, 0))
					}
				})
				out, err := client.Command("anything").Output()
				if err != nil && c.want.missing {
					<-client.Done()
				}
				c.want.check(t, client, out, err)
			})
		})
	}
}

// Silence is not an error, but whoever set a bound gets it.
func TestRogueSilence(t *testing.T) {
	silent := func(answers ...*proto.Message) func(r *rogue) {
		return func(r *rogue) {
			r.greet()
			if c := r.command(); c != nil {
				r.say(c.status, answers...)
			}
			_, _ = r.frames.Next() // reads what the client has to say, and says nothing
			_, _ = r.frames.Next()
		}
	}
	t.Run("before started", func(t *testing.T) {
		muxtest.Bubble(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := rogueServer(t, silent()).CommandContext(ctx, "x").Run(); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	})
	for name, answers := range map[string][]*proto.Message{"after started": {started()}, "after exited": {started(), exited(0)}} {
		t.Run(name, func(t *testing.T) {
			muxtest.Bubble(t, func(t *testing.T) {
				client := rogueServer(t, silent(answers...))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				cmd := client.CommandContext(ctx, "x")
				cmd.WaitDelay = time.Minute
				var out bytes.Buffer
				cmd.Stdout = &out
				begin := time.Now()
				err := cmd.Run()
				missing, ok := errors.AsType[*session.ExitMissingError](err)
				if !ok || !missing.Started || (missing.Exited != nil) != (len(answers) == 2) || !errors.Is(err, session.ErrWaitDelay) {
					t.Errorf("Run: %v", err)
				}
				if took := time.Since(begin); took > time.Hour+time.Minute+2*proto.CloseGrace {
					t.Errorf("it took %v", took)
				}
				if client.Err() != nil {
					t.Errorf("the session has ended: %v", client.Err())
				}
			})
		})
	}
}

// What a server does wrong to one command is not felt by another.
func TestRogueDoesNotHurtNeighbours(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		client := rogueServer(t, func(r *rogue) {
			r.greet()
			good, bad := r.command(), r.command()
			r.say(good.status, started())
			_, _ = io.WriteString(good.stdout, "first ")
			_, _ = bad.status.Write(raw("\xff"))
			_, _ = io.WriteString(good.stdout, "second")
			r.done(good, ended(0, 12))
		})
		good := client.Command("good")
		var out bytes.Buffer
		good.Stdout = &out
		begun := make(chan error, 1)
		go func() { begun <- good.Start() }()
		// The execs leave in the order of the calls only if the first has been sent.
		for len(begun) == 0 && client.Err() == nil {
			if bad := client.Command("bad"); len(begun) == 0 {
				time.Sleep(time.Millisecond)
				if err := bad.Run(); err == nil {
					t.Error("the bad one succeeded")
				}
				break
			}
		}
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
		if err := good.Wait(); err != nil || out.String() != "first second" {
			t.Errorf("%v, %q", err, out.String())
		}
	})
}

// A server that drains refuses; the client knows and does not even ask.
func TestRogueDrains(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		client := rogueServer(t, func(r *rogue) {
			r.greet()
			r.say(r.control, &proto.Message{Draining: &proto.Draining{}})
			if c := r.command(); c != nil {
				r.t.Error("the client asks a server that drains")
			}
		})
		time.Sleep(time.Second) // as settle
		if err := client.Command("x").Run(); !errors.Is(err, proto.CodeShuttingDown) {
			t.Error(err)
		}
	})
}

// Before hello a client has at most 8 commands in flight, and then as many as the server says.
func TestRogueCountsCommands(t *testing.T) {
	muxtest.Bubble(t, func(t *testing.T) {
		const total = 40
		most := make(chan int, 2)
		client := rogueServer(t, func(r *rogue) {
			var waiting []*rogueCommand
			take := func(n int) {
				for len(waiting) < n {
					waiting = append(waiting, r.command())
				}
			}
			take(proto.EarlyCommands)
			time.Sleep(time.Hour)
			r.say(r.control, hello()) // up to 9
			take(9)
			time.Sleep(time.Hour)
			for done := range total {
				c := waiting[0]
				waiting = waiting[1:]
				r.say(c.status, started())
				r.done(c, ended(0, 0))
				if done+len(waiting)+1 < total {
					take(9)
				}
			}
			most <- len(waiting)
		})
		results := make(chan error)
		for range total {
			go func() { results <- client.Command("x").Run() }()
		}
		for range total {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if left := <-most; left != 0 {
			t.Errorf("%d commands too many", left)
		}
	})
}
