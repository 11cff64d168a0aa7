package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/rexec/rex/internal/term"
	"github.com/rexec/rex/session"
)

// supervise is the goroutine that takes signals and changes of the terminal,
// until finished is closed.
func (r *runner) supervise(finished <-chan struct{}) {
	signals, stop := watchSignals()
	defer stop()
	changes, stopChanges := watchTerminal()
	defer stopChanges()
	sender := newSender(r)
	defer sender.close()

	rungs := ladder{keep: r.inv.orphan == session.OrphanKeep}
	timer := time.NewTimer(0)
	<-timer.C
	started := r.started
	for {
		var next event
		select {
		case <-finished:
			return
		case <-started:
			started = nil
			sender.resize() // a change that came before this had nobody to go to
			continue
		case <-changes:
			_ = r.raw.Again()
			if r.isStarted() {
				sender.resize()
			}
			continue
		case sig := <-signals:
			next = endSignals()[sig]
			if next == eventInterrupt && !r.raw.Active() && term.IsTerminal(r.env.Stdin) {
				r.out.midLine.Store(true) // the terminal shows a ^C
			}
			r.ui.debugf("got %v", sig)
			if !r.isStarted() {
				r.leave(nil, sig) // first: to cancel ends the work
				r.cancel(fmt.Errorf("stopped by %v", sig))
				continue
			}
			if next == eventInterrupt {
				r.interrupted.Store(true)
			}
		case <-timer.C:
			next = eventTimeout
		}
		s := rungs.take(next)
		if s.after > 0 {
			timer.Reset(s.after)
		}
		r.climb(s, next, sender)
	}
}

// climb carries out one step of the ladder.
func (r *runner) climb(s step, why event, sender *sender) {
	if s.say != "" {
		r.ui.warnf("%s", s.say)
	}
	if s.signal != "" {
		sender.signal(s.signal, s.to)
	}
	if !s.giveUp {
		return
	}
	switch why {
	case eventInterrupt:
		r.leave(nil, os.Interrupt)
	case eventHangup:
		r.leave(fail(howLost, "the terminal hung up"), nil)
	default:
		r.leave(fail(howLost, "the command did not end in time"), nil)
	}
}

func (r *runner) isStarted() bool {
	select {
	case <-r.started:
		return true
	default:
		return false
	}
}

// leave gives the command up: the daemon applies the orphan policy, and rex
// ends for the first reason given.
func (r *runner) leave(f *failure, raise os.Signal) {
	if f != nil && f.hint == "" {
		f.withHint("%s", r.fate())
	}
	select {
	case r.leaving <- leave{failure: f, raise: raise}:
	default:
		return
	}
	if r.isStarted() {
		go func() { _ = r.cmd.Abandon() }()
	}
}

// fate is what becomes of the command that was given up.
func (r *runner) fate() string {
	if r.inv.orphan == session.OrphanKeep {
		return fmt.Sprintf("the command goes on at the host as process %d, its output is discarded", r.cmd.Pid())
	}
	return "the daemon ends the command; with --orphan keep it would go on"
}

// A sender sends signals and sizes to the command, in their order and without
// the supervisor waiting for a connection that does not move. Its goroutine
// ends with close, or with the connection.
type sender struct {
	queue chan func()
	size  chan struct{}
	done  chan struct{}
	r     *runner
}

func newSender(r *runner) *sender {
	s := &sender{queue: make(chan func(), 16), size: make(chan struct{}, 1), done: make(chan struct{}), r: r}
	go s.run()
	return s
}

func (s *sender) run() {
	for {
		select {
		case send := <-s.queue:
			send()
		case <-s.size:
			s.r.resize()
		case <-s.done:
			return
		}
	}
}

// signal queues a signal. On a connection that has not moved for so many of
// them one more makes no difference.
func (s *sender) signal(name string, to session.Target) {
	s.r.ui.debugf("sending %s to the %s", name, to)
	select {
	case s.queue <- func() { _ = s.r.cmd.SignalTo(name, to) }:
	default:
	}
}

// resize queues the terminal's size of the moment when it is sent.
func (s *sender) resize() {
	select {
	case s.size <- struct{}{}:
	default:
	}
}

func (s *sender) close() { close(s.done) }
