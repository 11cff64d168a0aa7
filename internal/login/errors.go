package login

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/transport"
)

// ErrPublicHalf is wrapped by the [*auth.KeyFileError] of a public key whose
// private half the agent does not have.
var ErrPublicHalf = errors.New("this is a public key, and the agent does not have its private half")

// Why a host that is not known was not accepted.
var (
	// ErrNobodyToAsk: a person has to decide, and there is no terminal.
	ErrNobodyToAsk = errors.New("there is no terminal to ask on")
	// ErrStrict: [StrictYes].
	ErrStrict = errors.New("strict host key checking is on")
	// ErrOtherKey: [StrictAcceptNew] is for hosts of which nothing is known.
	ErrOtherKey = errors.New("accept-new does not cover a host whose sshd has another key")
	// ErrDeclined: the user was asked and did not say yes.
	ErrDeclined = errors.New("it was not accepted")
)

// A HostError says that a server is not the one that was meant, or is not known
// to be. Nothing was said to it.
type HostError struct {
	Name   string    // as in a known_hosts file: [host]:port, host for port 22, or the alias
	Key    *auth.Key // what the server showed
	Result knownhosts.Result
	// File is where new hosts are added to; empty if nowhere.
	File string
	// Err is one of [ErrNobodyToAsk], [ErrStrict], [ErrOtherKey] and [ErrDeclined], or what
	// kept an answer from coming. It is nil if nothing could have helped.
	Err error
}

func (e *HostError) Error() string {
	var b strings.Builder
	shown := e.Key.Type() + " " + e.Key.Fingerprint()
	switch e.Result.Verdict {
	case knownhosts.Unknown:
		fmt.Fprintf(&b, "the host %s is not known, its key is %s", e.Name, shown)
	case knownhosts.Differs:
		fmt.Fprintf(&b, "the host %s is not known, its key %s is not that of its sshd, %s", e.Name, shown, e.old())
	case knownhosts.Revoked:
		fmt.Fprintf(&b, "the key of the host %s, %s, is revoked by %s line %d", e.Name, shown, e.Result.File, e.Result.Line)
	default:
		fmt.Fprintf(&b, "the key of the host %s has changed: it is now %s, and was %s; "+
			"somebody may be listening in, or the host has a new key", e.Name, shown, e.old())
	}
	if e.Result.CertProblem != nil {
		fmt.Fprintf(&b, "; %v", e.Result.CertProblem)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns why it was not accepted.
func (e *HostError) Unwrap() error { return e.Err }

// Unknown reports whether nothing is known of the host.
func (e *HostError) Unknown() bool { return e.Result.Verdict == knownhosts.Unknown }

// Differs reports whether nothing is known of the host but that its sshd has
// another key.
func (e *HostError) Differs() bool { return e.Result.Verdict == knownhosts.Differs }

// Revoked reports whether the host's key is revoked. Of a HostError that is
// neither of these the key has changed.
func (e *HostError) Revoked() bool { return e.Result.Verdict == knownhosts.Revoked }

// old is the key that was expected, and where it stands.
func (e *HostError) old() string { return expected(e.Result) }

func expected(r knownhosts.Result) string {
	for _, k := range r.Known {
		if k.File == r.File && k.Line == r.Line {
			return fmt.Sprintf("%s %s (%s line %d)", k.Type, k.Fingerprint, k.File, k.Line)
		}
	}
	return fmt.Sprintf("another (%s line %d)", r.File, r.Line)
}

// A DeniedError says that the server was verified and let none of the keys in.
type DeniedError struct {
	Keys    []string // where the keys are that were offered
	Skipped []error  // why others were not
	Err     *transport.RefusedError
}

func (e *DeniedError) Error() string {
	keys := "1 key was"
	if len(e.Keys) != 1 {
		keys = fmt.Sprintf("%d keys were", len(e.Keys))
	}
	const most = 4
	list := strings.Join(e.Keys[:min(most, len(e.Keys))], ", ")
	if len(e.Keys) > most {
		list += ", ..."
	}
	return fmt.Sprintf("%s; %s tried (%s)", e.Err.Text, keys, list)
}

// Unwrap returns the refusal.
func (e *DeniedError) Unwrap() error { return e.Err }

// describe is a key as a refusal names it: where it is, what it is, and why it
// may not do.
func describe(s auth.Signer) string {
	text, key := s.String(), s.Key()
	if fingerprint := key.Fingerprint(); !strings.Contains(text, fingerprint) {
		text += " " + fingerprint
	}
	if !key.IsCert() {
		return text
	}
	text = "certificate " + text
	if err := key.CheckDates(time.Now()); err != nil {
		text += " (" + err.Error() + ")"
	}
	return text
}

// saidOnce leaves it to a SignError to name the file.
func saidOnce(e *transport.SignError) *transport.SignError {
	if file, ok := errors.AsType[*auth.KeyFileError](e.Err); ok && auth.Printable(file.Path) == e.Signer {
		return &transport.SignError{Signer: e.Signer, Err: reason{file}}
	}
	return e
}

// reason is the error of a file that was named before.
type reason struct{ file *auth.KeyFileError }

func (e reason) Error() string { return e.file.Reason }

func (e reason) Unwrap() error { return e.file }

// A NoKeysError says that there is no key to log in with. It is
// [transport.ErrNoKeys].
type NoKeysError struct {
	Skipped []error // why those that there are cannot be used
}

func (e *NoKeysError) Error() string {
	if len(e.Skipped) == 0 {
		return transport.ErrNoKeys.Error()
	}
	return fmt.Sprintf("%v: %v", transport.ErrNoKeys, e.Skipped[0])
}

// Unwrap returns ErrNoKeys.
func (e *NoKeysError) Unwrap() error { return transport.ErrNoKeys }
