package knownhosts

import (
	"fmt"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// A Verdict is what the files say of a host's key. The zero value is none: it
// must be treated like [Changed].
type Verdict uint8

// The verdicts. Only [Trusted] and [TrustedByCA] let a connection go on without
// asking; [Changed] and [Revoked] end it whatever the user says.
const (
	Unknown     Verdict = iota + 1 // no key is known for the host
	Trusted                        // a line has this key
	TrustedByCA                    // a line has the authority of this certificate
	Changed                        // lines for exactly this host have other keys
	Differs                        // lines for the plain host, its sshd, have other keys
	Revoked                        // the key or its authority is revoked
)

// String is the name of a verdict, for logs.
func (v Verdict) String() string {
	names := [...]string{"none", "unknown", "trusted", "trusted by ca", "changed", "differs", "revoked"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("Verdict(%d)", v)
}

// A Query is a host and what it has shown.
type Query struct {
	Host string    // as the user named it
	Port int       // 22 is looked up as the plain host
	Key  *auth.Key // a plain key; the host has proven that it holds it
	Cert *auth.Key // a certificate for Key, or nil
	Now  time.Time // when a certificate must be valid

	// Alias is looked up instead of host and port (HostKeyAlias in
	// ssh_config(5)) if it is not empty.
	Alias string
}

// A Result is the answer to a Query.
type Result struct {
	Verdict Verdict

	// File and Line are the line that decided; of several with other keys the
	// first of the key's type. Empty if there is none.
	File string
	Line int

	// Known are the lines that hold other keys for the host, unless the
	// verdict is Revoked.
	Known []Entry

	// Fallback says that a line for the plain host decided, not one for
	// [host]:port.
	Fallback bool

	// CertProblem says why a certificate did not count. Its key was then
	// looked up as a plain one.
	CertProblem error
}

// Check decides. A query without a plain key has no verdict.
//
// The order is OpenSSH's: revocation by any line that matches either name, then
// the certificate, then the plain key. It is stricter than OpenSSH in that the
// lines of the plain host, those with authorities too, count only when no plain
// key is known for exactly [host]:port.
func (s *Set) Check(q Query) Result {
	if q.Key == nil || q.Key.IsCert() {
		return Result{}
	}
	f := s.find(lookup(q.Host, q.Port, q.Alias))
	if r, ok := f.checkRevoked(q); ok {
		return r
	}
	var problem error
	if q.Cert != nil {
		r, err := f.checkCert(q)
		if err == nil {
			return r
		}
		problem = err
	}
	r := f.checkKey(q.Key)
	r.CertProblem = problem
	return r
}

// checkRevoked looks for the key, the certificate's and its authority's.
func (f finding) checkRevoked(q Query) (Result, bool) {
	shown := []*auth.Key{q.Key}
	if q.Cert != nil {
		shown = append(shown, q.Cert.Plain())
		if a := q.Cert.Authority(); a != nil {
			shown = append(shown, a.Plain())
		}
	}
	for i, tier := range [][]entry{f.exact, f.fallback} {
		for _, e := range only(tier, revoked) {
			for _, key := range shown {
				if e.key.Plain().Equal(key) {
					return e.decides(Revoked, i == 1), true
				}
			}
		}
	}
	return Result{}, false
}

// checkCert looks for the authority of a certificate and asks whether the
// certificate holds for the host.
func (f finding) checkCert(q Query) (Result, error) {
	if !q.Cert.IsCert() || !q.Cert.Plain().Equal(q.Key) {
		return Result{}, errOtherKey
	}
	signer := q.Cert.Authority()
	e, fallback := match(only(f.exact, authority), signer), false
	if e == nil && len(only(f.exact, plain)) == 0 {
		e, fallback = match(only(f.fallback, authority), signer), true
	}
	if e == nil {
		return Result{}, errNoAuthority
	}
	host := q.Alias
	if host == "" {
		host = lower(q.Host)
	}
	if err := auth.CheckHostCert(q.Cert, host, q.Now); err != nil {
		return Result{}, err
	}
	return e.decides(TrustedByCA, fallback), nil
}

// checkKey looks for a plain key.
func (f finding) checkKey(key *auth.Key) Result {
	pinned := f.pinned()
	if len(pinned) == 0 {
		return Result{Verdict: Unknown}
	}
	fallback := len(only(f.exact, plain)) == 0
	if e := match(pinned, key); e != nil {
		r := e.decides(Trusted, fallback)
		r.Known = others(pinned, key)
		return r
	}
	offending := pinned[0]
	for _, e := range pinned {
		if e.key.Type() == key.Type() {
			offending = e
			break
		}
	}
	verdict := Changed
	if fallback {
		verdict = Differs
	}
	r := offending.decides(verdict, fallback)
	r.Known = others(pinned, key)
	return r
}

func (e *entry) decides(v Verdict, fallback bool) Result {
	return Result{Verdict: v, File: e.file, Line: e.number, Fallback: fallback}
}

// match finds the first entry with a key.
func match(entries []entry, key *auth.Key) *entry {
	for i := range entries {
		if entries[i].key.Equal(key) {
			return &entries[i]
		}
	}
	return nil
}

// others lists the entries that do not hold a key.
func others(entries []entry, key *auth.Key) (known []Entry) {
	for _, e := range entries {
		if !e.key.Equal(key) {
			known = append(known, Entry{e.key.Type(), e.key.Fingerprint(), e.file, e.number})
		}
	}
	return known
}
