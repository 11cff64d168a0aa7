//go:build linux || darwin || freebsd

package transport

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// deniedError says who may not log in, and why each key did not do; that is for
// the log alone. It unwraps to nothing: what went wrong with a file of the server
// says nothing about the connection.
type deniedError struct {
	user string
	keys []refusedKey
}

// A refusedKey is why one key did not do.
type refusedKey struct {
	key *auth.Key // nil if it could not be parsed
	err error
}

// by adds a key, and returns the whole.
func (e *deniedError) by(key *auth.Key, err error) error {
	e.keys = append(e.keys, refusedKey{key, err})
	return e
}

func (e *deniedError) Error() string { return "user " + printable(e.user) + ": " + e.why() }

// why says a reason once if it is the same for all keys, as when the user is not
// allowed, and otherwise that of each.
func (e *deniedError) why() string {
	first := e.keys[0].reason()
	if len(e.keys) > 1 && !slices.ContainsFunc(e.keys, func(k refusedKey) bool { return k.reason() != first }) {
		return first
	}
	var texts []string
	for _, k := range e.keys {
		texts = append(texts, k.name()+": "+k.reason())
	}
	return strings.Join(texts, "; ")
}

func (k refusedKey) name() string {
	switch {
	case k.key == nil:
		return "a key that is none"
	case k.key.IsCert():
		return "certificate " + k.key.Fingerprint()
	}
	return "key " + k.key.Fingerprint()
}

func (k refusedKey) reason() string { return printable(k.err.Error()) }

// fingerprints are those of all keys, each once.
func (e *deniedError) fingerprints() string {
	var list []string
	for _, k := range e.keys {
		if k.key != nil && !slices.Contains(list, k.key.Fingerprint()) {
			list = append(list, k.key.Fingerprint())
		}
	}
	return strings.Join(list, ",")
}

// attrs are what a log should say, beside the peer.
func (e *deniedError) attrs() []slog.Attr {
	return []slog.Attr{slog.String("user", printable(e.user)), slog.String("key", e.fingerprints()), slog.String("err", e.why())}
}
