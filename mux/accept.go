package mux

import "context"

// acceptLoop files the streams that the client opened. It only ever waits for the network in yamux, which sends an
// acknowledgement for each; nobody has to wait for that, because streams can be taken before they are filed.
func (s *Session) acceptLoop() {
	for {
		ys, err := s.ys.AcceptStream()
		if err != nil {
			s.faulted(err)
			return
		}
		fl := s.guard.lookup(ys.StreamID())
		if fl == nil {
			continue
		}
		fl.file(ys)
		if fl.id == s.guard.control() {
			s.control <- fl
		}
	}
}

// AcceptControl waits for the client's first stream, and returns it to the first caller. When the session ends
// before, the error is Err's: io.EOF for a client that had nothing to say.
//
// The server has to read the control stream all the time, and has to take the streams that a message announces before
// it reads on: that is how the guard knows what has not been announced.
func (s *Session) AcceptControl(ctx context.Context) (*DuplexStream, error) {
	if !s.server {
		return nil, errOnlyServer
	}
	select {
	case fl := <-s.control:
		return newDuplexStream(s, fl), nil
	default:
	}
	select {
	case fl := <-s.control:
		return newDuplexStream(s, fl), nil
	case <-s.Done():
		return nil, s.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TakeSend claims the stream that the client opened with OpenReceive, by the id that a message announced. It never
// waits: a stream whose opening has not arrived is ErrUnknownStream, as is one that was taken before. A stream that
// carried data already, which the client must not send, is a *ViolationError and ends the session.
func (s *Session) TakeSend(id uint32) (*SendStream, error) {
	if !s.server {
		return nil, errOnlyServer
	}
	fl := s.guard.lookup(id)
	if fl == nil {
		return nil, ErrUnknownStream
	}
	return s.claimSend(fl)
}

// TakeReceive claims the stream that the client opened with OpenSend; otherwise it is like TakeSend.
func (s *Session) TakeReceive(id uint32) (*ReceiveStream, error) {
	if !s.server {
		return nil, errOnlyServer
	}
	fl := s.guard.lookup(id)
	if fl == nil {
		return nil, ErrUnknownStream
	}
	return s.claimReceive(fl)
}

// answerDropped ends our half of a stream that the client ended before it was announced.
func (s *Session) answerDropped(fl *flow) {
	s.background(func() {
		if ys := fl.stream(nil, s.Done()); ys != nil {
			fl.end(ys)
		}
	})
}
