package session

import (
	"errors"
	"fmt"
	"io"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

// verdict says how the command ended, once everything has. The order is that
// of os/exec, but a missing record or byte comes before everything else.
func (r *running) verdict() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record == nil {
		return &ExitMissingError{Started: true, Exited: r.exitedMsg, Cause: r.causeLocked(r.statusErr)}
	}
	state := &ProcessState{pid: r.pid, record: *r.record}
	r.cmd.ProcessState = state
	var exit error
	if !state.Success() {
		exit = &ExitError{ProcessState: state}
	}
	if missing := r.missing(); missing != nil {
		if exit != nil {
			return fmt.Errorf("%w (%w)", missing, exit)
		}
		return missing
	}
	for _, err := range []error{r.readErr, exit, r.cancelErr, r.copyErr} {
		if err != nil {
			return err
		}
	}
	if r.delayed || r.record.Output == proto.OutputAbandoned {
		return ErrWaitDelay
	}
	return nil
}

// missing compares the counts of the record with what went through the streams
// that were not stopped.
func (r *running) missing() error {
	for _, s := range []struct {
		name   string
		stream *receiver
		count  uint64
	}{{"stdout", r.stdout, r.record.StdoutBytes}, {"stderr", r.stderr, r.record.StderrBytes}} {
		switch {
		case s.stream == nil:
			continue
		case s.stream.isOverdue():
			return fmt.Errorf("%w: the server did not end %s", ErrTruncated, s.name)
		case s.stream.wasStopped():
			continue
		}
		if got := s.stream.Received(); got != s.count {
			return fmt.Errorf("%w: the server counts %d bytes of %s, %d were received", ErrTruncated, s.count, s.name, got)
		}
	}
	if r.stdin != nil && r.record.StdinBytes > r.stdin.Sent() {
		return fmt.Errorf("%w: the server counts %d bytes of stdin, %d were sent", ErrTruncated, r.record.StdinBytes, r.stdin.Sent())
	}
	return nil
}

func (r *running) cause(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.causeLocked(err)
}

// causeLocked explains why the status stream ended without a record.
func (r *running) causeLocked(err error) error {
	if r.gaveUp != nil {
		return r.gaveUp
	}
	if lost := r.bond.Err(); lost != nil {
		return lost
	}
	if _, ok := errors.AsType[*mux.LostError](err); ok {
		return connLost(err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("session: the server ended the status stream without a record")
	}
	return err
}
