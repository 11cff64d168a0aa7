package login

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
)

// askedLong is how long a passphrase may take before the server, whose patience
// is limited, is connected to anew.
const askedLong = 5 * time.Second

// A Conn is a connection on which the login was sent, and accepted if
// [Config.EarlyData] was not set.
type Conn struct {
	*transport.TCPConn
	d *dialer
}

// Dial connects, verifies the server and logs in. ctx bounds all of it, the
// questions included.
//
// It connects while it reads the keys, and closes the connection again if there
// are none.
//
// Which key is used: if there is one, that. Otherwise the one that worked last
// time, and if the server does not take it any more Dial forgets it and logs in
// once more; otherwise the first of all that the server says it takes. A key
// that turns out not to sign, such as one of an agent that asks its user, is
// left out and the login is made again with the others.
//
// With EarlyData the server may still refuse after Dial has returned: then
// [Conn.Refused] explains the error of the first Read, and if [Conn.Again] says
// so, dialing again is what Dial would have done.
//
// The error is a [*HostError], [*NoKeysError] or [*DeniedError], one of those of
// [transport.DialTCP], or of a file that is needed and cannot be read.
func Dial(ctx context.Context, config *Config) (*Conn, error) {
	d := &dialer{}
	var err error
	if d.Config, err = config.withDefaults(); err != nil {
		return nil, err
	}
	d.memory = openMemory(&d.Config)
	if d.hosts, err = loadHosts(&d.Config); err != nil {
		return nil, err
	}
	d.early = transport.ConnectEarly(ctx, d.Host, d.Port, d.connect)
	defer d.early.Discard()
	k := &keys{Config: &d.Config, agentTime: agentTime, ask: d.passphrases(ctx)}
	defer k.close()
	if d.signers, err = k.collect(ctx); err != nil {
		return nil, err
	}
	d.skipped = k.skipped
	return d.dial(ctx)
}

// A dialer is one Dial.
type dialer struct {
	Config
	hosts   *hosts
	memory  memory
	early   *transport.Early // begun while the keys are read
	signers []auth.Signer
	skipped []error

	first   auth.Signer // remembered, and not the only one
	asked   time.Duration
	offered []string // of the last login
}

// dial logs in until there is no reason to do so again: every reason takes a
// key, the memory or a question away.
func (d *dialer) dial(ctx context.Context) (*Conn, error) {
	if len(d.signers) > 1 {
		d.first = d.memory.recall(&d.Config, d.signers)
	}
	for {
		d.asked = 0
		c, err := transport.DialTCP(ctx, d.Host, d.Port, d.options())
		switch {
		case ctx.Err() != nil && err != nil, d.goOn(err):
		default:
			return d.done(c, err)
		}
		if err == nil {
			_ = c.Close()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// goOn reports whether another login is to be made because of how one went.
func (d *dialer) goOn(err error) bool {
	failed, unsigned := errors.AsType[*transport.SignError](err)
	switch {
	case unsigned:
		return d.drop(saidOnce(failed))
	case d.again(err):
		return true
	case d.asked > askedLong:
		_, answered := errors.AsType[*transport.RefusedError](err)
		return !answered
	}
	return false
}

// drop leaves out a key that did not sign, if there are others.
func (d *dialer) drop(failed *transport.SignError) bool {
	rest := slices.DeleteFunc(slices.Clone(d.signers), func(s auth.Signer) bool { return s.String() == failed.Signer })
	if len(rest) == 0 || len(rest) == len(d.signers) {
		return false
	}
	d.Warn(failed.Error())
	d.skipped = append(d.skipped, failed)
	d.signers, d.first = rest, nil
	return true
}

// again reports whether err is the refusal of a remembered key, and forgets it.
func (d *dialer) again(err error) bool {
	if d.first == nil || !denied(err) {
		return false
	}
	d.Log.Info("the key that worked last time was refused", "from", d.first.String())
	d.first = nil
	d.note(nil)
	return true
}

func denied(err error) bool {
	refused, ok := errors.AsType[*transport.RefusedError](err)
	return ok && refused.Code == proto.AuthDenied
}

// done makes the result of the last login.
func (d *dialer) done(c *transport.TCPConn, err error) (*Conn, error) {
	if err != nil {
		return nil, d.explain(err)
	}
	conn := &Conn{TCPConn: c, d: d}
	if d.awaits() {
		d.note(c.Key)
	}
	return conn, nil
}

// awaits reports whether the server's verdict is waited for.
func (d *dialer) awaits() bool { return !d.EarlyData || d.first != nil && !d.StdinSafe }

func (d *dialer) options() *transport.TCPOptions {
	d.offered = nil
	for _, s := range d.signers {
		if d.first == nil || d.first == s {
			d.offered = append(d.offered, describe(s))
		}
	}
	d.offered = d.offered[:min(len(d.offered), proto.MaxKeys)]
	return &transport.TCPOptions{
		User: d.User, VerifyHost: d.hosts.verify, HostKeyTypes: d.hosts.types(),
		Signers: d.signers, First: d.first, AwaitVerdict: d.awaits(),
		Dial: d.connect, Early: d.early, Trace: d.Trace, Log: d.Log,
	}
}

// connect is the connection itself.
func (d *dialer) connect(ctx context.Context, _, addr string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial(ctx, d.Network, addr)
	}
	dialer := transport.NewDialer()
	if d.LocalAddr.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: d.LocalAddr.AsSlice(), Zone: d.LocalAddr.Zone()}
	}
	return dialer.DialContext(ctx, d.Network, addr)
}

// passphrases asks for passphrases, as often as the user wants to be asked for
// each, and notes how long that took. It is nil if there is nobody to ask.
func (d *dialer) passphrases(ctx context.Context) auth.Passphrase {
	if d.Asker == nil {
		return nil
	}
	times := map[string]int{}
	return func(_ context.Context, prompt string) ([]byte, error) {
		times[prompt]++
		switch n := times[prompt]; {
		case n > d.PassphraseTries:
			return nil, nil
		case n > 1:
			prompt = "that was wrong; " + prompt
		}
		start := time.Now()
		defer func() { d.asked += time.Since(start) }()
		return d.Asker.Passphrase(ctx, prompt)
	}
}

// explain adds to a refusal what was tried, and says nothing twice.
func (d *dialer) explain(err error) error {
	if failed, ok := errors.AsType[*transport.SignError](err); ok {
		return saidOnce(failed)
	}
	refused, ok := errors.AsType[*transport.RefusedError](err)
	if !ok || refused.Code != proto.AuthDenied {
		return err
	}
	return &DeniedError{Keys: d.offered, Skipped: d.skipped, Err: refused}
}

func (d *dialer) note(k *auth.Key) {
	if err := d.memory.remember(&d.Config, k); err != nil && d.CacheDir != "" {
		d.Log.Debug("what key worked is not remembered", "err", err.Error())
	}
}

// Accepted has the key remembered, once the server has accepted it: it waits
// for that. It does nothing after a refusal.
func (c *Conn) Accepted() {
	if c.Verdict() == nil {
		c.d.note(c.Key)
	}
}

// Again reports whether err, of a Conn or of what uses it, is the refusal of a
// key that was only remembered. It is forgotten then, and Dial with the same
// Config logs in with the others. Nothing that was written was heeded.
func (c *Conn) Again(err error) bool { return c.d.again(err) }

// Refused is the [*DeniedError] for an error of a Conn, or of what uses it, that
// is the server's refusal; of any other error it is nil.
func (c *Conn) Refused(err error) *DeniedError {
	refusal, _ := errors.AsType[*DeniedError](c.d.explain(err))
	return refusal
}
