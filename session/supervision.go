package session

import (
	"cmp"
	"sync"
	"time"

	"github.com/rexec/rex/proto"
)

// supervision is the state of a running command. Only run's goroutine touches
// it, but for what is a channel.
type supervision struct {
	*command
	proc Process

	in       *inPump
	out, err *outPump
	say      outbox         // status messages
	saying   sync.WaitGroup // the goroutine that writes them
	exits    chan exitResult
	dooms    chan struct{} // the client asks the whole tree to end; said before the signal is sent
	timeout  <-chan time.Time
	exceeded <-chan proto.How // of a Bounded

	exit      *exitResult
	how       proto.How     // why rexd ends the tree; empty while it does not
	ending    bool          // the ladder has begun
	ladder    chan struct{} // closed when the tree has been ended; nil before and after
	condemned bool          // the client asked the whole tree to end
	orphaned  bool          // nobody waits any more
	stopping  bool          // the server wants to end
	tooLate   <-chan time.Time
	detached  bool // let go: the server stops and the policy is keep
}

type exitResult struct {
	Exit
	err error
}

func newSupervision(c *command, proc Process) *supervision {
	s := &supervision{
		command: c, proc: proc,
		say:   outbox{queue: make(chan *proto.Message, 3)},
		exits: make(chan exitResult, 1),
		dooms: make(chan struct{}, 1),
	}
	s.saying.Go(func() {
		for m := range s.say.queue {
			_ = proto.Write(c.status, m)
		}
	})
	s.say.put(&proto.Message{Started: &proto.Started{PID: uint64(proc.Pid()), DroppedEnv: proc.DroppedEnv()}})
	s.in = startInPump(c.stdin, proc.Stdin())
	s.out = startOutPump(proc.Stdout(), c.stdout, s.isKept)
	s.err = startOutPump(proc.Stderr(), c.stderr, s.isKept)
	if b, ok := proc.(Bounded); ok {
		s.exceeded = b.Exceeded()
	}
	if d := c.exec.Timeout; d > 0 {
		s.timeout = time.After(duration(d))
	}
	go func() {
		exit, err := proc.Wait()
		s.exits <- exitResult{exit, err}
	}()
	return s
}

// run lets the command run to its end.
func (s *supervision) run() {
	lost, abandoned, stop := s.from.gone(), s.status.Stopped(), s.stop
	outStopped, errStopped := s.out.stopped(), s.err.stopped()
	over := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() { s.serveRequests(over) })
	// What is waited for is taken before the look at what has ended: an end
	// between the two must not be missed.
	for outputs := s.outputEnd(); !s.over(); outputs = s.outputEnd() {
		select {
		case <-s.dooms:
			s.condemn()
		case exit := <-s.exits:
			s.exited(exit)
		case <-outputs:
		case <-s.timeout:
			s.timeout = nil
			s.end(proto.HowTimeout)
		case how := <-s.exceeded:
			s.end(how)
		case <-s.ladder:
			s.ladder = nil
			s.treeEnded()
		case <-s.tooLate:
			s.tooLate = nil
			s.from.cut()
		case <-outStopped:
			outStopped = nil
			s.breakPipe(s.out)
		case <-errStopped:
			errStopped = nil
			s.breakPipe(s.err)
		case <-lost:
			lost = nil
			s.orphan()
		case <-abandoned:
			abandoned = nil
			s.orphan()
		case <-stop:
			stop = nil
			s.serverStops()
		}
	}
	s.finish()
	close(over)
	serving.Wait()
}

// over reports whether there is nothing left to wait for.
func (s *supervision) over() bool {
	if s.detached {
		return true
	}
	return s.exit != nil && s.outputEnded() && s.ladder == nil
}

func (s *supervision) outputEnded() bool { return s.outputEnd() == nil }

// outputEnd is closed when the next output that still runs ends; nil if none
// does.
func (s *supervision) outputEnd() <-chan struct{} {
	for _, p := range []*outPump{s.out, s.err} {
		if !isClosed(p.ended()) {
			return p.done
		}
	}
	return nil
}

// serveRequests serves the signals and sizes until the command is over. It has
// a goroutine of its own: a signal can hang where something between rexd and
// the command does, and what ends the tree must not wait for that. Release
// makes it return.
func (s *supervision) serveRequests(over <-chan struct{}) {
	for {
		select {
		case <-s.requests.came:
		case <-over:
			return
		}
		for _, m := range s.requests.take() {
			s.serve(m)
		}
	}
}

// serve sends a signal or a new size to the command.
func (s *supervision) serve(m *proto.Message) {
	var err error
	switch {
	case m.Signal != nil:
		to := m.Signal.To
		if to == "" {
			to = ToGroup
		}
		s.log.Debug("signal", "name", clip(m.Signal.Name), "to", string(to))
		if to == ToTree && endsTree(m.Signal.Name) {
			select {
			case s.dooms <- struct{}{}:
			default:
			}
		}
		err = s.proc.Signal(m.Signal.Name, to)
	case m.Resize != nil:
		err = s.proc.Resize(m.Resize.Rows, m.Resize.Cols)
	}
	if err != nil {
		s.log.Debug("request failed", "err", err)
	}
}

// endsTree reports whether a signal to the tree asks it to end. What it leaves
// running is then no background job that belongs to the user.
func endsTree(name string) bool {
	switch name {
	case "HUP", "INT", "QUIT", "TERM", "KILL":
		return true
	}
	return false
}

// condemn notes that the whole tree is to end with the command.
func (s *supervision) condemn() {
	s.condemned = true
	if s.exit != nil {
		s.end("")
	}
}

// exited notes the end of the command's own process. Its output may go on.
func (s *supervision) exited(exit exitResult) {
	s.exit = &exit
	select {
	case <-s.dooms: // perhaps what it died of
		s.condemned = true
	default:
	}
	if s.condemned {
		s.end("")
	}
	if exit.err == nil {
		s.say.put(&proto.Message{Exited: &proto.Exited{Code: uint64(max(exit.Code, 0)), Signal: exit.Signal}})
	} else {
		// The tree is out of sight; whatever is left of it must not stay.
		s.log.Warn("command lost", "err", exit.err)
		s.end(proto.HowLost)
	}
	if d := s.exec.Drain; d != nil {
		s.drain(duration(*d))
	}
}

func (s *supervision) drain(d time.Duration) {
	s.out.drain(d)
	s.err.drain(d)
}

// end begins to end the whole tree, if that has not begun. The first reason is
// the one that the record names; an empty one is none.
func (s *supervision) end(how proto.How) {
	if s.how == "" {
		s.how = how
	}
	if s.ending {
		return
	}
	s.ending = true
	ladder := make(chan struct{})
	s.ladder = ladder
	go func() {
		defer close(ladder)
		if err := s.proc.End(s.server.ladders()); err != nil {
			s.log.Error("ending the command's processes", "err", err)
		}
	}()
}

// treeEnded is when nothing of the tree is left: only what is in the pipes is
// still to come, even if something that escaped holds them.
func (s *supervision) treeEnded() {
	s.drain(0)
	s.hurry()
}

// hurry bounds how long a client may take what a stopping server still has for
// it, once the tree has ended.
func (s *supervision) hurry() {
	if s.stopping && s.ladder == nil {
		s.tooLate = time.After(byeTimeout)
	}
}

// orphan applies the policy when nobody waits for the command any more.
func (s *supervision) orphan() {
	if s.orphaned {
		return
	}
	s.orphaned = true
	if s.stdin != nil {
		_ = s.stdin.CancelRead() // what came is not all: the pipe stays open
	}
	if s.exec.Orphan == OrphanKeep {
		s.log.Info("command kept without its client")
		return
	}
	s.log.Info("ending a command whose client is gone")
	_ = s.proc.Hangup()
	s.end(proto.HowKilled)
}

// serverStops ends the command, or lets go of it if it is kept and alone.
func (s *supervision) serverStops() {
	if (s.orphaned || isClosed(s.from.gone())) && s.exec.Orphan == OrphanKeep {
		s.detached = true
		return
	}
	s.stopping = true
	s.end(proto.HowKilled)
	s.hurry()
}

// isKept reports whether the client abandoned a command that is to go on. It
// stops the status stream before the others.
func (s *supervision) isKept() bool {
	return s.exec.Orphan == OrphanKeep && isClosed(s.status.Stopped())
}

// breakPipe is when the client no longer reads an output. A terminal has one
// line for everything: it is hung up.
func (s *supervision) breakPipe(p *outPump) {
	if s.isKept() || p.complete.Load() {
		return
	}
	if s.exec.Term != nil {
		_ = s.proc.Hangup()
	}
	p.close()
}

// finish frees everything and sends the record.
func (s *supervision) finish() {
	s.in.stop()
	s.out.close()
	s.err.close()
	<-s.out.ended()
	<-s.err.ended()
	if err := s.proc.Release(); err != nil {
		s.log.Error("releasing the command", "err", err)
	}
	if s.detached {
		s.log.Info("command left running")
	} else {
		record := s.record()
		s.logEnd(record)
		s.from.remove(s.command)
		s.say.put(&proto.Message{Ended: record})
	}
	s.say.close()
	s.saying.Wait()
	s.closeStreams()
}

// record is the end record.
func (s *supervision) record() *proto.Ended {
	x := s.exit
	select {
	case how := <-s.exceeded: // the end came first, but what it shows may be a part
		s.how = cmp.Or(s.how, how)
	default:
	}
	r := &proto.Ended{
		How: s.how, Code: uint64(max(x.Code, 0)), Signal: x.Signal, Core: x.Core,
		StdinBytes: s.in.bytes(), StdoutBytes: s.out.sent(), StderrBytes: s.err.sent(),
		UserTime: uint64(x.UserTime), SystemTime: uint64(x.SystemTime), MaxRSS: uint64(max(x.MaxRSS, 0)),
		StartedAt: unixNano(x.Started), EndedAt: unixNano(x.Ended),
		Output: proto.OutputComplete,
	}
	if s.out.gaveUp() || s.err.gaveUp() {
		r.Output = proto.OutputAbandoned
	}
	switch {
	case x.err != nil:
		r.How = proto.HowLost
	case s.how == "" && x.Signal != nil:
		r.How = proto.HowSignaled
	case s.how == "":
		r.How = proto.HowExited
	}
	return r
}

func (s *supervision) logEnd(r *proto.Ended) {
	attrs := []any{
		"how", string(r.How), "code", r.Code,
		"duration", time.Duration(r.EndedAt - min(r.StartedAt, r.EndedAt)),
	}
	if s.passed {
		attrs = append(attrs, "passed", true)
	} else {
		attrs = append(attrs, "stdin_bytes", r.StdinBytes, "stdout_bytes", r.StdoutBytes, "stderr_bytes", r.StderrBytes)
	}
	if r.Signal != nil {
		attrs = append(attrs, "signal", r.Signal.Name)
	}
	if r.Output == proto.OutputAbandoned {
		attrs = append(attrs, "output", string(r.Output))
	}
	if s.orphaned {
		attrs = append(attrs, "orphaned", true)
	}
	s.log.Info("command ended", attrs...)
}
