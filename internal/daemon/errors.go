//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
)

// A usageError is a mistake in the flags or the configuration.
type usageError struct {
	err  error
	hint string // what to type instead; may be empty
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usageErrorf(hint, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), hint: hint}
}

// A hintedError is one for which what to type depends on where it happened.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// socketError knows what to do where there is no directory for a socket.
func socketError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &hintedError{err, "mkdir -p -m 700 " + shellQuote(filepath.Dir(path))}
	}
	return err
}

// checkError is what --check found, which is its result and not a failure of
// its own.
type checkError struct{ found []error }

func (e *checkError) Error() string   { return errors.Join(e.found...).Error() }
func (e *checkError) Unwrap() []error { return e.found }

// exitCode is the status that stands for err.
func exitCode(err error) int {
	if _, ok := errors.AsType[*checkError](err); ok {
		return exitError
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitError
}

// report tells people about err and what to do about it.
func report(w io.Writer, err error) {
	if e, ok := errors.AsType[*checkError](err); ok {
		for _, found := range e.found {
			report(w, found)
		}
		return
	}
	fmt.Fprintf(w, "rexd: error: %s\n", escapeIf(strings.TrimRight(err.Error(), "\n"), unsafeOnTerminal))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "rexd: hint: %s\n", escapeIf(hint, unsafeOnTerminal))
	}
}

// hintFor is what to type, empty if nobody knows.
func hintFor(err error) string {
	if e, ok := errors.AsType[*usageError](err); ok && e.hint != "" {
		return e.hint
	}
	if e, ok := errors.AsType[*hintedError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*transport.InUseError](err); ok {
		if e.PID > 0 {
			return fmt.Sprintf("stop the other daemon (kill %d), or choose another path", e.PID)
		}
		return "stop what listens there, or choose another path"
	}
	if e, ok := errors.AsType[*auth.KeyFileError](err); ok {
		return hintKeyFile(e)
	}
	if hint := ofFlags.of(err); hint != "" {
		return hint
	}
	if _, ok := errors.AsType[*transport.UnsafePathError](err); ok {
		return "choose an unused path in a directory that nobody else can write to, such as /run/rex (root) or $XDG_RUNTIME_DIR"
	}
	return ""
}

// isFile reports whether there is a file at path itself, to which another owner
// and mode may be given. A directory on the way has those that it has for a
// reason: it may be somebody's home.
func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// shellQuote makes a word that a shell reads as it is.
func shellQuote(word string) string {
	if regexp.MustCompile(`^[\w@%+:,./-][\w@%+=:,./-]*$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// portHints are what to do about an address of TCP that cannot be had, in the
// words in which it was given.
type portHints struct{ inUse, elsewhere, unresolved, privileged string }

// ofFlags are those for rexd's own --listen.
var ofFlags = portHints{
	inUse:      "stop what listens there (ss -ltnp shows it), or choose another port: --listen :7391",
	elsewhere:  "this host does not have that address: ip address lists those it has, and --listen :7390 means all of them",
	unresolved: "name an address of this host (ip address lists them), or all of them: --listen :7390",
	privileged: "only root may listen on ports below 1024: --listen :7390",
}

// of is the hint for err, empty if it is about something else.
func (h *portHints) of(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return h.inUse
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return h.elsewhere
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return h.unresolved
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && errors.Is(op, syscall.EACCES) {
		return h.privileged
	}
	return ""
}

// explain adds the hint for err to it.
func (h *portHints) explain(err error) error {
	if hint := h.of(err); hint != "" {
		return &hintedError{err, hint}
	}
	return err
}
