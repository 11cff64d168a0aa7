package auth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The part of the agent protocol (draft-ietf-sshm-ssh-agent) that rex speaks.
const (
	agentFailure = 5
	agentList    = 11 // SSH_AGENTC_REQUEST_IDENTITIES
	agentListed  = 12
	agentSign    = 13 // SSH_AGENTC_SIGN_REQUEST
	agentSigned  = 14

	agentRSASHA256 = 2 // flags of agentSign
	agentRSASHA512 = 4
)

// maxAgentMessage bounds a reply, in bytes; ssh's own bound.
const maxAgentMessage = 256 << 10

// exchange sends one message and reads one.
func exchange(rw io.ReadWriter, request []byte) ([]byte, error) {
	if _, err := rw.Write(appendString(nil, request)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, vanished(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxAgentMessage {
		return nil, fmt.Errorf("this is no agent: a reply of %d bytes is not between 1 and %d", n, maxAgentMessage)
	}
	reply := make([]byte, n)
	if _, err := io.ReadFull(rw, reply); err != nil {
		return nil, vanished(err)
	}
	return reply, nil
}

func vanished(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it closed the connection without an answer")
	}
	return err
}

// signRequest asks for a signature over data.
func signRequest(key, data []byte, flags uint32) []byte {
	b := appendString([]byte{agentSign}, key)
	b = appendString(b, data)
	return binary.BigEndian.AppendUint32(b, flags)
}

// An agentEntry is one of an agent's list.
type agentEntry struct {
	blob    []byte
	comment string
}

// parseIdentities reads u8 12, u32 n and n times string key and string comment.
func parseIdentities(reply []byte) ([]agentEntry, error) {
	if len(reply) < 5 || reply[0] != agentListed {
		return nil, unexpected(reply)
	}
	n, rest := binary.BigEndian.Uint32(reply[1:]), reply[5:]
	var entries []agentEntry // n is a claim
	for range n {
		var blob, comment []byte
		var err error
		if blob, rest, err = cutString(rest); err != nil {
			return nil, err
		}
		if comment, rest, err = cutString(rest); err != nil {
			return nil, err
		}
		entries = append(entries, agentEntry{blob, string(comment)})
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes too many", len(rest))
	}
	return entries, nil
}

// parseSigned reads u8 14 and string signature, and says the algorithm in it.
func parseSigned(reply []byte) (sig []byte, algorithm string, err error) {
	if reply[0] == agentFailure {
		return nil, "", fmt.Errorf("%w: it may be locked, the use of the key not confirmed, "+
			"or the key constrained to destinations: such keys cannot sign for rex", ErrAgentRefused)
	}
	if reply[0] != agentSigned {
		return nil, "", unexpected(reply)
	}
	sig, rest, err := cutString(reply[1:])
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	if err != nil {
		return nil, "", fmt.Errorf("bad reply: %w", err)
	}
	name, _, err := cutString(sig)
	if err != nil {
		return nil, "", fmt.Errorf("bad reply: %w", err)
	}
	return sig, string(name), nil
}

// unexpected says what a reply is that is not the one asked for.
func unexpected(reply []byte) error {
	if reply[0] == agentFailure {
		return errors.New("the agent says that it failed")
	}
	return fmt.Errorf("a message of type %d and %d bytes", reply[0], len(reply))
}
