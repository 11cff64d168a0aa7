package mux

import (
	"errors"
	"io"
	"net"
)

var (
	// ErrStopped is returned by Write when the peer stopped reading the stream. It is this package's EPIPE.
	ErrStopped = errors.New("mux: the reader has gone")

	// ErrCanceled is returned by Read after CancelRead and by Write after CancelWrite.
	ErrCanceled = errors.New("mux: stream canceled")

	// ErrUnknownStream is returned by TakeSend and TakeReceive for an id that the client did not open, that was
	// taken before, or that the client gave up before it was taken.
	ErrUnknownStream = errors.New("mux: unknown stream")

	// ErrClosed says that this end ended it: Session.Err after Close or Shutdown, Write after CloseWrite.
	ErrClosed = errors.New("mux: closed")

	// ErrSilent is the cause of a LinkLostError when the peer answered nothing for too long.
	ErrSilent = errors.New("mux: nothing is heard from the peer")

	errOnlyClient    = errors.New("mux: only the client opens streams")
	errOnlyServer    = errors.New("mux: only the server takes streams")
	errControlFirst  = errors.New("mux: the control stream is the session's first stream, and there is one")
	errExhausted     = errors.New("mux: the session has used up its stream ids")
	errDataAfterEnd  = errors.New("mux: data after the end of its stream")
	errWriteTimedOut = errors.New("mux: a frame was given up half way")
)

// LostError is returned by calls on a stream or session whose connection ended first. What the peer had sent until
// then was returned by earlier Reads; whether more was to come is unknown.
//
// It matches net.ErrClosed and, by unwrapping, its Cause. It never matches io.EOF: a peer that ended the session in
// an orderly way without ending the stream gives io.ErrUnexpectedEOF.
type LostError struct {
	Cause error // what ended the session, never nil
}

func (e *LostError) Error() string { return "mux: session lost: " + e.Cause.Error() }

// Unwrap returns the Cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Is makes a lost session look like a closed connection to code that knows only package net.
func (e *LostError) Is(target error) bool { return target == net.ErrClosed }

// LinkLostError says that the connection under a link ended or failed without CLOSE: whether the peer had more to say is
// unknown. It never matches io.EOF.
type LinkLostError struct {
	// Cause is io.ErrUnexpectedEOF when the connection just ended, which is what a process that dies leaves behind;
	// what LinkConfig.Watch returned; ErrSilent; or the connection's own error. It is never nil.
	Cause error
}

func (e *LinkLostError) Error() string { return "mux: link lost: " + e.Cause.Error() }

// Unwrap returns the Cause.
func (e *LinkLostError) Unwrap() error { return e.Cause }

// ViolationError says which rule the peer broke. The connection was ended because of it.
type ViolationError struct {
	Reason string
}

func (e *ViolationError) Error() string { return "mux: peer broke the protocol: " + e.Reason }

// violation is the only way in which the guard makes a ViolationError.
func violation(reason string) error { return &ViolationError{Reason: reason} }

// lost wraps what ended the session for the caller of a stream's method.
func lost(cause error) error {
	switch {
	case cause == nil:
		cause = ErrClosed
	case errors.Is(cause, io.EOF):
		cause = io.ErrUnexpectedEOF
	}
	return &LostError{Cause: cause}
}
