package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// An Agent is a connection to a program that keeps private keys, such as
// ssh-agent(1). rex asks it for its list and for signatures, never for anything
// else, and believes nothing of what it answers. Its methods may be called
// concurrently; it answers one request at a time.
type Agent struct {
	socket string
	conn   net.Conn
	turn   chan struct{} // full while somebody has a request on conn
	lost   error         // set under turn: conn is of no use any more
}

// DialAgent connects to the agent that listens on a Unix socket, a path as in
// $SSH_AUTH_SOCK. Nothing is sent yet. The error is an [*AgentError].
func DialAgent(ctx context.Context, socket string) (*Agent, error) {
	// Go takes a leading @ for an abstract name, which belongs to whoever
	// takes it first.
	if socket == "" || strings.HasPrefix(socket, "@") {
		return nil, &AgentError{socket, errors.New("this is not the path of a socket")}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the path is said once, escaped
		}
		return nil, &AgentError{socket, err}
	}
	a := newAgent(conn)
	a.socket = socket
	return a, nil
}

func newAgent(conn net.Conn) *Agent {
	return &Agent{conn: conn, turn: make(chan struct{}, 1)}
}

// Close ends the connection and whatever waits for an answer.
func (a *Agent) Close() error { return a.conn.Close() }

// Signers lists the agent's keys and certificates in its order, but for those
// that [CheckAlgorithm] refuses or that came before. A locked agent has none.
// They are of use until Close. The error is an [*AgentError].
func (a *Agent) Signers(ctx context.Context) ([]Signer, error) {
	reply, err := a.call(ctx, []byte{agentList})
	if err != nil {
		return nil, err
	}
	entries, err := parseIdentities(reply)
	if err != nil {
		return nil, &AgentError{a.socket, fmt.Errorf("bad list: %w", err)}
	}
	var signers []Signer
	seen := make(map[string]bool)
	for _, e := range entries {
		k, err := ParseKey(e.blob)
		if err != nil || CheckAlgorithm(k) != nil || seen[string(e.blob)] {
			continue
		}
		seen[string(e.blob)] = true
		signers = append(signers, &agentSigner{a, k, e.comment})
	}
	return signers, nil
}

// An agentSigner is a key that an agent keeps.
type agentSigner struct {
	agent   *Agent
	key     *Key
	comment string
}

func (s *agentSigner) Key() *Key { return s.key }

func (s *agentSigner) String() string {
	if s.comment == "" {
		return "agent: " + s.key.Fingerprint()
	}
	return "agent: " + Printable(s.comment) + " " + s.key.Fingerprint()
}

// Sign has the agent sign and looks whether it did.
func (s *agentSigner) Sign(ctx context.Context, st *Statement) ([]byte, error) {
	if err := CheckAlgorithm(st.Key); err != nil {
		return nil, err
	}
	message, err := messageFor(s.key, st)
	if err != nil {
		return nil, err
	}
	sig, err := s.sign(ctx, message)
	if err != nil {
		return nil, err
	}
	if err := st.Verify(sig, VerifyOptions{}); err != nil {
		return nil, fmt.Errorf("what the agent returned is not acceptable: %w", err)
	}
	return sig, nil
}

// sign asks for the best algorithm that the agent has. One that does not know
// the flags signs with SHA-1.
func (s *agentSigner) sign(ctx context.Context, message []byte) ([]byte, error) {
	if s.key.Plain().Type() != ssh.KeyAlgoRSA {
		sig, _, err := s.request(ctx, message, 0)
		return sig, err
	}
	for _, flags := range []uint32{agentRSASHA512, agentRSASHA256} {
		sig, algorithm, err := s.request(ctx, message, flags)
		if err != nil || algorithm != ssh.KeyAlgoRSA {
			return sig, err
		}
	}
	return nil, errors.New("the agent is too old: it signs RSA with SHA-1 only, which rex does not accept")
}

func (s *agentSigner) request(ctx context.Context, message []byte, flags uint32) (sig []byte, algorithm string, err error) {
	reply, err := s.agent.call(ctx, signRequest(s.key.Blob(), message, flags))
	if err != nil {
		return nil, "", err
	}
	return parseSigned(reply)
}

// call sends a request and returns the reply. After an exchange that did not
// come to its end the next reply could be to the wrong request: the connection
// is closed.
func (a *Agent) call(ctx context.Context, request []byte) ([]byte, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, &AgentError{a.socket, context.Cause(ctx)}
	}
	switch {
	case a.lost != nil:
		return nil, &AgentError{a.socket, fmt.Errorf("the connection was lost: %w", a.lost)}
	case ctx.Err() != nil:
		return nil, &AgentError{a.socket, context.Cause(ctx)}
	}
	stop := context.AfterFunc(ctx, func() { _ = a.conn.SetDeadline(time.Unix(1, 0)) })
	reply, err := exchange(a.conn, request)
	if !stop() { // the deadline is set or about to be
		err = context.Cause(ctx)
	}
	if err != nil {
		a.lost = err
		_ = a.conn.Close()
		return nil, &AgentError{a.socket, err}
	}
	return reply, nil
}
