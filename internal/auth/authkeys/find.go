package authkeys

import (
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// Check reports why the line does not count for a login from source at this
// moment, nil if it does. The error names the option and is printable; it is for
// the server's log.
func (o *Options) Check(source netip.Addr, now time.Time) error {
	if !o.Expiry.IsZero() && now.After(o.Expiry) {
		return fmt.Errorf("expiry-time: it was %s", o.Expiry.UTC().Format(time.RFC3339))
	}
	if o.From != nil {
		return checkFrom(o.From, source)
	}
	return nil
}

// All yields the entries that name the key, in their order, each with the result
// of its Check. An entry names a plain key if it is that key and no authority, a
// certificate if it is its authority. Whether the certificate is good, and has
// one of the entry's principals, is for the caller to find out; sshd goes on to
// the next entry if not.
func All(entries []Entry, key *auth.Key, source netip.Addr, now time.Time) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		want := key
		if key.IsCert() {
			want = key.Authority()
		}
		for i := range entries {
			e := &entries[i]
			if e.Options.CertAuthority != key.IsCert() || !e.Key.Equal(want) {
				continue
			}
			if !yield(e, e.Options.Check(source, now)) {
				return
			}
		}
	}
}
