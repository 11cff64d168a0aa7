package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/proto"
)

// promptTime is how long the decision on a host may take before the server,
// whose patience is limited, is asked again.
const promptTime = 5 * time.Second

// A HostProof is the key that a server has proved to hold, before anything was
// said to it.
type HostProof struct {
	Key *auth.Key
	// Cert is the OpenSSH certificate for Key that the server showed, nil if it
	// has none. Nothing of it but that it is for Key has been checked.
	Cert *auth.Key
}

// TCPOptions say how [DialTCP] connects and logs in.
type TCPOptions struct {
	// User is the account at the server.
	User string
	// VerifyHost decides whether the server is the one that was meant. It is
	// required, and any error refuses the server: the connection ends before a
	// byte of the login was written. It may ask a person.
	VerifyHost func(ctx context.Context, proof *HostProof) error
	// HostKeyTypes are the types of host keys to ask for, the most wanted
	// first; nil is all.
	HostKeyTypes []string
	// Signers are the keys to log in with, in the order of preference.
	Signers []auth.Signer
	// First is the signer to try without asking the server first, which saves a
	// round trip, and the others are then not tried on this connection. Nil
	// asks the server which of Signers it takes, unless there is only one.
	First auth.Signer
	// AwaitVerdict makes DialTCP return only when the server has accepted the
	// login, which costs a round trip where First or the only signer is used.
	AwaitVerdict bool
	// Dial connects; nil is TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Early is a connection that was begun before; nil is none. DialTCP takes it
	// instead of the first that it would make.
	Early *Early
	// Trace is told how long each step took; nil is nobody.
	Trace func(step string, took time.Duration)
	// Log takes debug messages; nil discards them.
	Log *slog.Logger
}

// DialTCP connects to a server over TLS and logs in. ctx bounds all of it, and
// 30 s bound the login besides.
//
// It needs three round trips before the first byte of the server's answer: TCP,
// TLS, and the login together with what is written first. So with First or a
// single signer it returns before the server has judged the login; a refusal,
// a [*RefusedError], is then the first error of Read, and of Write beyond
// 64 KiB, and [TCPConn.Verdict] waits for it.
//
// A peer of another protocol is a [*ForeignPeerError].
func DialTCP(ctx context.Context, host string, port int, opts *TCPOptions) (*TCPConn, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	return newDialer(host, port, opts).dial(ctx)
}

func (o *TCPOptions) check() error {
	if o.VerifyHost == nil {
		return errors.New("transport: nobody decides on the host")
	}
	if len(o.Signers) == 0 && o.First == nil {
		return ErrNoKeys
	}
	return proto.CheckUser(o.User)
}

// A dialer is one DialTCP.
type dialer struct {
	TCPOptions
	addr       string
	promptTime time.Duration
	rtt        time.Duration
}

func newDialer(host string, port int, opts *TCPOptions) *dialer {
	d := &dialer{TCPOptions: *opts, addr: net.JoinHostPort(host, strconv.Itoa(port)), promptTime: promptTime}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Trace == nil {
		d.Trace = func(string, time.Duration) {}
	}
	return d
}

func (d *dialer) dial(ctx context.Context) (*TCPConn, error) {
	conn, proof, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	err = d.VerifyHost(ctx, proof)
	took := time.Since(start)
	d.Trace("host", took)
	if err == nil && took > d.promptTime {
		_ = conn.Close()
		if conn, err = d.again(ctx, proof); err != nil {
			return nil, err
		}
	}
	if err == nil {
		var c *TCPConn
		if c, err = d.login(ctx, conn, proof); err == nil {
			return c, nil
		}
	}
	_ = conn.Close()
	return nil, err
}

// again connects to a host that was decided on meanwhile, and must be the same.
func (d *dialer) again(ctx context.Context, proof *HostProof) (*tls.Conn, error) {
	conn, now, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	if !now.Key.Equal(proof.Key) {
		_ = conn.Close()
		return nil, errors.New("the host showed another key while the first one was looked at")
	}
	return conn, nil
}

// connect makes a TLS connection and returns the key at its other end.
func (d *dialer) connect(ctx context.Context) (*tls.Conn, *HostProof, error) {
	raw, err := d.connection(ctx)
	if err != nil {
		return nil, nil, err
	}
	d.Trace("connect", d.rtt)
	tune(raw)
	start := time.Now()
	types := d.HostKeyTypes
	if types == nil {
		types = HostKeyTypes()
	}
	conn := tls.Client(raw, clientConfig(types))
	shaking, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(shaking); err != nil {
		_ = raw.Close()
		return nil, nil, explainTLS(err)
	}
	d.Trace("tls", time.Since(start))
	cs := conn.ConnectionState()
	proof, err := proofOf(&cs)
	if err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	return conn, proof, nil
}

// connection makes the connection itself, or takes the early one, and notes the
// round-trip time.
func (d *dialer) connection(ctx context.Context) (net.Conn, error) {
	if conn, took, err, ok := d.Early.take(d.promptTime); ok {
		d.rtt = took
		return conn, err
	}
	dial := d.Dial
	if dial == nil {
		dial = NewDialer().DialContext
	}
	start := time.Now()
	conn, err := dial(ctx, "tcp", d.addr)
	d.rtt = time.Since(start)
	return conn, err
}

// explainTLS makes an error of a handshake one to be shown.
func explainTLS(err error) error {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return foreign(record.RecordHeader[:])
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return &HandshakeError{Reason: printable(alert.Error())}
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &HandshakeError{Reason: "the peer closed the connection", Err: err}
	}
	return &HandshakeError{Reason: printable(err.Error()), Err: err}
}

// login logs in on a connection to a host that was decided on.
func (d *dialer) login(ctx context.Context, conn *tls.Conn, proof *HostProof) (*TCPConn, error) {
	start := time.Now()
	_ = conn.SetDeadline(start.Add(handshakeTime))
	stop := cutOff(ctx, conn)
	l := &clientLogin{dialer: d, conn: conn, proof: proof}
	vc, err := l.run(ctx)
	if err == nil && d.AwaitVerdict {
		err = vc.settle()
	}
	if !stop() && (err == nil || isTimeout(err)) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	d.Trace("login", time.Since(start))
	c := &TCPConn{verdict: vc, Host: proof, Key: l.used, RTT: d.rtt}
	c.Link = mux.NewLink(vc, linkConfig(conn.NetConn(), d.Log))
	return c, nil
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// A TCPConn is the client's end of a connection that was made by [DialTCP].
type TCPConn struct {
	*mux.Link
	verdict *verdictConn

	Host *HostProof    // the server
	Key  *auth.Key     // what the login was signed with
	RTT  time.Duration // of the TCP handshake
}

// Verdict waits until the server has judged the login and returns nil if it
// accepted it, a [*RefusedError] if not, and otherwise what kept the verdict
// from coming.
func (c *TCPConn) Verdict() error { return c.verdict.settle() }

// clientLogin is the client's side of AUTH.
type clientLogin struct {
	*dialer
	conn  *tls.Conn
	proof *HostProof
	used  *auth.Key
}

// run logs in, or writes the login and leaves the verdict to who reads first.
func (l *clientLogin) run(ctx context.Context) (*verdictConn, error) {
	signer := l.First
	if signer == nil && len(l.Signers) == 1 {
		signer = l.Signers[0]
	}
	if signer == nil {
		var err error
		if signer, err = l.negotiate(); err != nil {
			return nil, err
		}
	}
	if err := l.prove(ctx, signer); err != nil {
		return nil, err
	}
	return &verdictConn{Conn: l.conn, trace: l.Trace}, nil
}

// negotiate asks the server which of the keys it takes.
func (l *clientLogin) negotiate() (auth.Signer, error) {
	ask := &proto.Auth{Mode: proto.AuthNegotiate, User: l.User, Ext: proto.ResumeWish{}.Append(nil)}
	size := 0
	for _, s := range l.Signers {
		blob := s.Key().Blob()
		if size += 4 + len(blob); len(ask.Keys) == proto.MaxKeys || size > proto.MaxAuth-1024 {
			l.Log.Debug("keys that are too many are not offered", "offered", len(ask.Keys), "of", len(l.Signers))
			break
		}
		ask.Keys = append(ask.Keys, blob)
	}
	result, err := l.exchange(ask)
	switch {
	case err != nil:
		return nil, err
	case result.Code != proto.AuthNeedSig:
		return nil, refused(result)
	case int(result.Index) >= len(ask.Keys):
		return nil, &HandshakeError{Reason: "the server asked for a key that was not offered"}
	}
	return l.Signers[result.Index], nil
}

// prove signs the login and sends it.
func (l *clientLogin) prove(ctx context.Context, signer auth.Signer) error {
	cs := l.conn.ConnectionState()
	exporter, err := exported(&cs)
	if err != nil {
		return err
	}
	l.used = signer.Key()
	start := time.Now()
	sig, err := signer.Sign(ctx, &auth.Statement{
		Exporter: exporter, ALPN: cs.NegotiatedProtocol, HostKey: l.proof.Key, User: l.User, Key: l.used,
	})
	if err != nil {
		return &SignError{Signer: signer.String(), Err: err}
	}
	l.Trace("sign", time.Since(start))
	return l.send(&proto.Auth{
		Mode: proto.AuthKey, User: l.User, Keys: [][]byte{l.used.Blob()}, Signature: sig, Ext: proto.ResumeWish{}.Append(nil),
	})
}

func (l *clientLogin) send(a *proto.Auth) error {
	frame, err := a.Append(nil)
	if err != nil {
		return err
	}
	_, err = l.conn.Write(frame)
	return err
}

// exchange sends a frame and reads the answer. A server that refuses may have
// closed before everything was written, and its verdict is there all the same.
func (l *clientLogin) exchange(a *proto.Auth) (*proto.AuthResult, error) {
	werr := l.send(a)
	result, err := proto.ReadAuthResult(l.conn)
	if err != nil && werr != nil {
		return nil, werr
	}
	return result, explainResult(err)
}

func refused(r *proto.AuthResult) error {
	return &RefusedError{Code: r.Code, Text: printable(r.Text)}
}

// explainResult says what is wrong with an AUTH_RESULT that could not be read.
func explainResult(err error) error {
	if bad, ok := errors.AsType[*proto.AuthError](err); ok {
		return &HandshakeError{Reason: bad.Reason, Err: err}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &HandshakeError{Reason: "the server closed the connection before it judged the login", Err: io.ErrUnexpectedEOF}
	}
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return nil
}
