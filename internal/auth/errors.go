package auth

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrSignature is returned by [Statement.Verify] for a signature in the
	// right form that is not one over the statement by its key.
	ErrSignature = errors.New("the signature does not verify")
	// ErrPassphrase is wrapped if a key file has a passphrase that is not
	// known: there is nobody to ask, or the answers were wrong or empty.
	ErrPassphrase = errors.New("wrong or no passphrase")
	// ErrExposed is wrapped if others than its owner may read or write the
	// file of a private key, or own it.
	ErrExposed = errors.New("others have access to it")
	// ErrAgentRefused is wrapped if an agent answers, but does not sign.
	ErrAgentRefused = errors.New("the agent refused to sign")
)

// A KeyFileError says which file of a key or certificate could not be used and
// why. It wraps what the system said ([fs.ErrNotExist], [fs.ErrExist] and so
// on), [ErrPassphrase] or [ErrExposed].
type KeyFileError struct {
	Path   string
	Reason string // for people; already escaped
	Err    error  // nil if the reason is all
}

func (e *KeyFileError) Error() string {
	return fmt.Sprintf("key file %s: %s", Printable(e.Path), e.Reason)
}

// Unwrap returns the cause.
func (e *KeyFileError) Unwrap() error { return e.Err }

// An AgentError says which agent did not do what was asked for, and why.
type AgentError struct {
	Socket string
	Err    error
}

func (e *AgentError) Error() string { return fmt.Sprintf("agent %s: %v", Printable(e.Socket), e.Err) }

// Unwrap returns the cause.
func (e *AgentError) Unwrap() error { return e.Err }

// keyFileError gives err the path it is about.
func keyFileError(path string, err error) error {
	var known *KeyFileError
	if errors.As(err, &known) {
		return err
	}
	reason := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		reason = pe.Err // the path is said once
	}
	return &KeyFileError{Path: path, Reason: Printable(reason.Error()), Err: err}
}

// badKeyFile is a KeyFileError whose reason is all.
func badKeyFile(path, reason string) error {
	return &KeyFileError{Path: path, Reason: reason}
}
