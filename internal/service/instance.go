//go:build linux || darwin || freebsd

package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rexec/rex/session"
)

// A halfConn is a connection whose directions end independently.
type halfConn interface {
	net.Conn
	CloseWrite() error
}

// An instance is one connection and its program.
//
// It runs until stdout has come to its end after the program itself ended, or
// until something cuts it: the first call of cut resets the connection and ends
// the tree, upon which all that waits for either comes to its end.
type instance struct {
	service *Service
	limits  Limits
	conn    halfConn
	program session.Process
	log     *slog.Logger
	began   time.Time

	ctx context.Context // its cause is the cutError
	cut context.CancelCauseFunc

	moved   atomic.Int64  // when a byte last did, since began
	in, out atomic.Int64  // bytes
	fin     atomic.Bool   // the client's was read
	whole   atomic.Bool   // the answer's end was sent
	fed     chan struct{} // closed when nothing is read from the client any more
	stdout  *outlet
	stderr  *outlet
	lines   *lineLog
}

// run sees a connection through. Nothing is left of it afterwards.
func (s *Service) run(conn halfConn, client Client) {
	i := &instance{
		service: s, limits: s.gate.limits, conn: conn, began: time.Now(), fed: make(chan struct{}),
		log: s.log.With("client", client.Remote.String()),
	}
	setLinger(conn, 0) // if this process is killed, too
	i.ctx, i.cut = context.WithCancelCause(s.alive)
	defer i.cut(nil)
	var err error
	if i.program, err = s.Start(i.ctx, client); err != nil {
		reset(conn)
		i.log.Warn("the program cannot be started", "err", err)
		return
	}
	i.end(i.carry())
}

// carry runs the instance until all of its output is sent, or it is cut.
func (i *instance) carry() result {
	cleared := make(chan struct{})
	spared := context.AfterFunc(i.ctx, func() {
		defer close(cleared)
		i.clear()
	})
	stop := i.watch()
	i.start()
	var r result
	r.exit, r.err = i.program.Wait()
	if !i.stdout.settle(i.ctx, i.service.drain()) {
		i.cut(&cutError{how: howAbandoned}) // unless it is cut already
	}
	<-i.stdout.done
	stop()
	if !spared() {
		<-cleared
		r.cut, _ = errors.AsType[*cutError](context.Cause(i.ctx))
	}
	return r
}

// start begins to carry bytes.
func (i *instance) start() {
	i.stdout = newOutlet(i.program.Stdout(), i.send)
	i.lines = newLineLog(i.log, &i.service.said)
	i.stderr = newOutlet(i.program.Stderr(), i.lines.write)
	go i.feed()
	go func() {
		_ = i.stderr.run()
		i.lines.flush()
		close(i.stderr.done)
	}()
	go func() {
		defer close(i.stdout.done)
		if err := i.stdout.run(); err != io.EOF {
			i.cut(&cutError{how: howBroken, err: err}) // unless that is why
			return
		}
		i.lost(i.complete())
	}()
}

// complete sends the end of the answer, which nothing spoils from then on.
func (i *instance) complete() error {
	i.whole.Store(true)
	err := i.conn.CloseWrite()
	if err != nil {
		i.whole.Store(false)
		return err
	}
	setLinger(i.conn, -1)
	return nil
}

// watch cuts the instance at the limits of time, until stop is called.
func (i *instance) watch() (stop func()) {
	timers := make([]*time.Timer, 0, 2)
	if total := i.limits.Total; total > 0 {
		timers = append(timers, time.AfterFunc(total, func() { i.cut(&cutError{how: howTotal}) }))
	}
	if idle := i.limits.Idle; idle > 0 {
		timers = append(timers, i.watchIdle(idle))
	}
	return func() {
		for _, t := range timers {
			t.Stop()
		}
	}
}

// watchIdle looks again whenever the instance could have been idle for so long.
func (i *instance) watchIdle(idle time.Duration) *time.Timer {
	armed := make(chan struct{})
	var t *time.Timer
	t = time.AfterFunc(idle, func() {
		<-armed
		if left := idle - (time.Since(i.began) - time.Duration(i.moved.Load())); left > 0 {
			t.Reset(left)
			return
		}
		i.cut(&cutError{how: howIdle})
	})
	close(armed)
	return t
}

// touch notes that bytes have moved.
func (i *instance) touch() { i.moved.Store(int64(time.Since(i.began))) }

// clear resets the connection of an instance that was cut, unless all of the
// answer was sent, breaks its output pipe and ends its tree. Stdin stays open
// until then: a part must not pass for the whole there either.
func (i *instance) clear() {
	if !i.whole.Load() {
		reset(i.conn)
	}
	_ = i.program.Stdout().Close()
	i.endTree()
}

// endTree ends what runs of the tree; at once when the service is closed.
func (i *instance) endTree() {
	if err := i.program.End(i.service.patient); err != nil {
		i.log.Error("the program's tree cannot be ended", "err", err)
	}
}

// end closes the connection of an instance whose stdout has come to its end,
// and logs how it was. A tree that was cut is ended already.
func (i *instance) end(r result) {
	var tree sync.WaitGroup
	if r.cut == nil {
		tree.Go(i.endTree)
	}
	i.stopFeeding()
	if r.cut == nil || i.whole.Load() {
		i.linger()
	}
	_ = i.conn.Close()
	tree.Wait()
	if !i.stderr.settle(context.Background(), i.service.drain()) {
		_ = i.program.Stderr().Close()
	}
	<-i.stderr.done
	if err := i.program.Release(); err != nil {
		i.log.Error("the program cannot be released", "err", err)
	}
	i.report(r)
}

// stopFeeding ends feed once the program has ended.
func (i *instance) stopFeeding() {
	_ = i.program.Stdin().Close()
	_ = i.conn.SetReadDeadline(time.Unix(1, 0))
	<-i.fed
}

// linger reads and discards the rest of the client's input, so that closing
// the connection resets nothing that is under way to the client.
func (i *instance) linger() {
	linger := i.service.Linger.withDefaults()
	if i.fin.Load() || linger.Idle == 0 {
		return
	}
	if linger.Total == 0 {
		linger.Total = math.MaxInt64 / 2 // a century and more
	}
	stopped := i.service.alive
	defer context.AfterFunc(stopped, func() { _ = i.conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for end := time.Now().Add(linger.Total); ; {
		now := time.Now()
		_ = i.conn.SetReadDeadline(now.Add(min(linger.Idle, end.Sub(now))))
		if stopped.Err() != nil || !now.Before(end) {
			return
		}
		if _, err := i.conn.Read(buf[:]); err != nil {
			return // the client's FIN, or it is as far as it will get
		}
	}
}
