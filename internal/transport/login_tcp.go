//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
)

// deniedText is all that a client learns of why it may not log in.
const deniedText = "permission denied (public key)"

// serverLogin is the server's side of AUTH. All that is granted is in the one
// return of run: nothing of an attempt that failed is looked at by another.
type serverLogin struct {
	listener      *TCPListener
	conn          halfCloser
	remote, local netip.AddrPort

	// What the signature is bound to.
	exporter func() ([]byte, error)
	alpn     string
	host     *auth.Key
}

// run reads the login, at most two frames of it, and accepts it or returns why
// it does not.
func (l *serverLogin) run(ctx context.Context) (user string, granted *Grant, err error) {
	first, err := proto.ReadAuth(l.conn)
	if err != nil {
		return "", nil, err
	}
	arrived := time.Now() // whatever the client waited for before says nothing
	switch first.Mode {
	case proto.AuthKey:
		granted, err = l.proven(ctx, first)
	case proto.AuthNegotiate:
		granted, err = l.negotiate(ctx, first)
	default:
		err = &proto.AuthError{Code: proto.AuthDenied, Reason: "this server takes keys only"}
	}
	if _, denied := errors.AsType[*deniedError](err); denied {
		l.pad(ctx, first, arrived)
	}
	if err == nil {
		err = l.accept()
	}
	if err != nil {
		return "", nil, err
	}
	return first.User, granted, nil
}

// proven grants what a frame with a signed key asks for.
func (l *serverLogin) proven(ctx context.Context, a *proto.Auth) (*Grant, error) {
	denied := &deniedError{user: a.User}
	key, granted, err := l.authorize(ctx, a.User, a.Keys[0])
	if err != nil {
		return nil, denied.by(key, err)
	}
	return granted, l.verify(a, key, granted, denied)
}

// negotiate takes the first of the keys that would do, and then the proof.
func (l *serverLogin) negotiate(ctx context.Context, offer *proto.Auth) (*Grant, error) {
	denied := &deniedError{user: offer.User}
	for i, blob := range offer.Keys {
		key, granted, err := l.authorize(ctx, offer.User, blob)
		if err == nil {
			return granted, l.challenge(offer, uint8(i), key, granted, denied)
		}
		_ = denied.by(key, err)
	}
	return nil, denied
}

// challenge asks for the proof of one of the keys.
func (l *serverLogin) challenge(offer *proto.Auth, index uint8, key *auth.Key, granted *Grant, denied *deniedError) error {
	if err := sendVerdict(l.conn, &proto.AuthResult{Code: proto.AuthNeedSig, Index: index}, time.Time{}); err != nil {
		return err
	}
	answer, err := proto.ReadAuth(l.conn)
	switch {
	case err != nil:
		return err
	case answer.Mode != proto.AuthKey || answer.User != offer.User || !bytes.Equal(answer.Keys[0], offer.Keys[index]):
		return &proto.AuthError{Code: proto.AuthDenied, Reason: "the second login is not the answer to what was asked"}
	}
	return l.verify(answer, key, granted, denied)
}

// authorize asks whether a key would do. The key is nil if there is none.
func (l *serverLogin) authorize(ctx context.Context, user string, blob []byte) (*auth.Key, *Grant, error) {
	key, err := auth.ParseKey(blob)
	if err != nil {
		return nil, nil, err
	}
	if err := auth.CheckAlgorithm(key); err != nil {
		return key, nil, err
	}
	granted, err := l.listener.authorizer.Authorize(ctx, &Attempt{User: user, Key: key, Remote: l.remote, Local: l.local})
	if err == nil && granted == nil {
		err = errors.New("nothing was granted")
	}
	return key, granted, err
}

// verify checks the signature of a frame: the only one of its connection.
func (l *serverLogin) verify(a *proto.Auth, key *auth.Key, granted *Grant, denied *deniedError) error {
	exporter, err := l.exporter()
	if err != nil {
		return err
	}
	statement := &auth.Statement{Exporter: exporter, ALPN: l.alpn, HostKey: l.host, User: a.User, Key: key}
	err = statement.Verify(a.Signature, auth.VerifyOptions{VerificationRequired: granted.VerificationRequired})
	if err != nil {
		return denied.by(key, err)
	}
	return nil
}

// accept says that the session begins.
func (l *serverLogin) accept() error {
	grant := new(proto.ResumeGrant) // with a window of 0: nothing is held
	_, _ = rand.Read(grant.ID[:])
	_, _ = rand.Read(grant.Secret[:])
	return sendVerdict(l.conn, &proto.AuthResult{Code: proto.AuthOK, Ext: grant.Append(nil)}, time.Time{})
}

// Refusals take at least padTime and up to padSpread more for each key, always
// the same for a name, so that the time of an answer does not tell which accounts
// exist.
const (
	padTime   = 5 * time.Millisecond
	padSpread = 4200 * time.Microsecond
)

// pad waits until a refusal has taken as long as every other: the time of the
// name for every key, doubled as often as it takes to be longer than the work was.
func (l *serverLogin) pad(ctx context.Context, a *proto.Auth, arrived time.Time) {
	target := padTime + time.Duration(maphash.String(l.listener.seed, a.User)%uint64(padSpread))
	target *= time.Duration(len(a.Keys))
	for target < time.Since(arrived) {
		target *= 2
	}
	t := time.NewTimer(target - time.Since(arrived))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
