package proto

import "fmt"

// A FrameError says that something is not a frame of the protocol: what a peer
// sent ([Decode], [Reader.Next]) or what the caller wanted to send ([Append]).
// The stream that a bad frame came from cannot be read further.
type FrameError struct {
	// Reason is for people. What it quotes of the peer's bytes is escaped and
	// cut.
	Reason string
}

func (e *FrameError) Error() string { return "proto: " + e.Reason }

func frameErrorf(format string, args ...any) error {
	return &FrameError{Reason: fmt.Sprintf(format, args...)}
}

// An AuthError says why an AUTH or AUTH_RESULT frame was not understood or may
// not be sent.
type AuthError struct {
	// Code is what a server answers: AuthBadVersion for another version of the
	// frame, AuthDenied for everything else.
	Code AuthCode
	// Reason is for people. What it quotes of the peer's bytes is escaped and
	// cut.
	Reason string
}

func (e *AuthError) Error() string { return "proto: " + e.Reason }

func authErrorf(format string, args ...any) error {
	return &AuthError{Code: AuthDenied, Reason: fmt.Sprintf(format, args...)}
}

// quote shows bytes of the peer in an error: escaped, and cut so that a long
// string cannot flood a log.
func quote(s []byte) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%+q...", s[:most])
	}
	return fmt.Sprintf("%+q", s)
}
