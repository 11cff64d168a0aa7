package mux

import (
	"context"
	"errors"

	"github.com/hashicorp/yamux"
)

// OpenControl opens the duplex stream that has to be the session's first. It returns ctx's error when ctx ends first,
// and a *LostError when the session has ended.
func (s *Session) OpenControl(ctx context.Context) (*DuplexStream, error) {
	fl, err := s.open(ctx, true)
	if err != nil {
		return nil, err
	}
	if _, err := s.claim(fl, duplex, nil); err != nil {
		return nil, err
	}
	return newDuplexStream(s, fl), nil
}

// OpenSend opens a stream on which this end writes and the peer reads. It waits while Config.MaxStreams are open and
// until the connection has taken the request, but not for the peer. If ctx ends first its error is returned, and the
// peer is left with a stream that was never announced and ends by itself.
//
// A stream that was opened and will not be announced after all is given up with CloseWrite.
func (s *Session) OpenSend(ctx context.Context) (*SendStream, error) {
	fl, err := s.open(ctx, false)
	if err != nil {
		return nil, err
	}
	return s.claimSend(fl)
}

// OpenReceive opens a stream on which the peer writes and this end reads; otherwise it is like OpenSend. A stream
// that will not be announced after all is given up with CancelRead.
func (s *Session) OpenReceive(ctx context.Context) (*ReceiveStream, error) {
	fl, err := s.open(ctx, false)
	if err != nil {
		return nil, err
	}
	return s.claimReceive(fl)
}

func (s *Session) claimSend(fl *flow) (*SendStream, error) {
	w := newSendStream(s, fl)
	stopped, err := s.claim(fl, sending, w)
	if err != nil {
		return nil, err
	}
	if stopped {
		w.peerStopped()
	}
	return w, nil
}

func (s *Session) claimReceive(fl *flow) (*ReceiveStream, error) {
	if _, err := s.claim(fl, receiving, nil); err != nil {
		return nil, err
	}
	return newReceiveStream(s, fl), nil
}

// claim gives the stream its direction, and ends the session if the peer broke a rule.
func (s *Session) claim(fl *flow, dir direction, w *SendStream) (stopped bool, err error) {
	stopped, err = s.guard.claim(fl, dir, w)
	if _, broken := errors.AsType[*ViolationError](err); broken {
		s.guard.fail(err)
	}
	return stopped, err
}

// open opens a stream of any direction.
func (s *Session) open(ctx context.Context, control bool) (*flow, error) {
	if s.server {
		return nil, errOnlyClient
	}
	if err := s.take(ctx, s.slots); err != nil {
		return nil, err
	}
	if err := s.take(ctx, s.turn); err != nil {
		<-s.slots
		return nil, err
	}
	if control == s.opened {
		<-s.turn
		<-s.slots
		return nil, errControlFirst
	}
	s.opened = true
	if ctx.Done() == nil {
		return s.openNow()
	}
	return s.openOrLeave(ctx)
}

// take puts an element into a semaphore.
func (s *Session) take(ctx context.Context, semaphore chan<- struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case semaphore <- struct{}{}:
		return nil
	case <-s.Done():
		return s.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) releaseSlot() { <-s.slots }

// openOrLeave opens a stream on a goroutine, because yamux cannot be interrupted. If ctx ends first, that goroutine
// gives up the stream as soon as it has it.
func (s *Session) openOrLeave(ctx context.Context) (*flow, error) {
	type result struct {
		fl  *flow
		err error
	}
	results, left := make(chan result), make(chan struct{})
	started := s.background(func() {
		fl, err := s.openNow()
		select {
		case results <- result{fl, err}:
		case <-left:
			if err == nil {
				s.giveUp(fl)
			}
		}
	})
	if !started {
		return nil, s.lost()
	}
	select {
	case r := <-results:
		return r.fl, r.err
	case <-ctx.Done():
		close(left)
		return nil, ctx.Err()
	}
}

// openNow opens a stream and gives back turn, and the slot if there is no stream.
func (s *Session) openNow() (*flow, error) {
	defer func() { <-s.turn }()
	ys, err := s.ys.OpenStream()
	if err != nil {
		s.releaseSlot()
		return nil, s.openError(err)
	}
	fl := s.guard.lookup(ys.StreamID())
	if fl == nil {
		return nil, s.lost() // the slot went when the flow ended
	}
	fl.file(ys)
	return fl, nil
}

func (s *Session) openError(err error) error {
	if errors.Is(err, yamux.ErrStreamsExhausted) {
		return errExhausted
	}
	s.faulted(err)
	return s.lost()
}

// giveUp ends this end's half of a stream that nobody will use; the server answers when it sees that.
func (s *Session) giveUp(fl *flow) {
	if _, err := s.claim(fl, dropped, nil); err == nil {
		fl.end(fl.ys.Load())
	}
}
