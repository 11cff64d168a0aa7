package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// fakeAgent serves one connection: handle makes the reply to each request, and
// a nil one hangs up. What was asked for is in the returned function's result,
// which waits for the end of the connection.
func fakeAgent(t *testing.T, handle func(request []byte) []byte) (*Agent, func() []byte) {
	t.Helper()
	client, server := net.Pipe()
	var types []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		defer server.Close()
		for {
			request, err := readMessage(server)
			if err != nil {
				return
			}
			types = append(types, request[0])
			reply := handle(request)
			if reply == nil {
				return
			}
			if _, err := server.Write(reply); err != nil {
				return
			}
		}
	})
	a := newAgent(client)
	finish := func() []byte {
		a.Close()
		wg.Wait()
		return types
	}
	t.Cleanup(func() { finish() })
	return a, finish
}

func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// message is a reply in its frame.
func message(kind byte, body []byte) []byte {
	return appendString(nil, append([]byte{kind}, body...))
}

// listing is a reply to a request for the list: key, comment, key, comment.
func listing(claim uint32, fields ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, claim)
	for _, f := range fields {
		b = appendString(b, f)
	}
	return message(agentListed, b)
}

// keeper answers the list with one key and each request to sign by sign.
func keeper(key *Key, sign func(data []byte, flags uint32) []byte) func([]byte) []byte {
	return func(request []byte) []byte {
		if request[0] == agentList {
			return listing(1, string(key.Blob()), "a comment")
		}
		_, rest, _ := cutString(request[1:])
		data, rest, _ := cutString(rest)
		return sign(data, binary.BigEndian.Uint32(rest))
	}
}

func onlySigner(t *testing.T, a *Agent) Signer {
	t.Helper()
	signers, err := a.Signers(t.Context())
	if err != nil || len(signers) != 1 {
		t.Fatal(signers, err)
	}
	return signers[0]
}

// The list and the requests are all an agent ever sees of rex.
func TestAgentIsAskedForNothingElse(t *testing.T) {
	k := newEd25519(t)
	a, finish := fakeAgent(t, keeper(keyOf(t, k), func(data []byte, _ uint32) []byte {
		sig, err := signMessage(k, data)
		if err != nil {
			panic(err)
		}
		return message(agentSigned, appendString(nil, sig))
	}))
	s := onlySigner(t, a)
	if s.String() != "agent: a comment "+s.Key().Fingerprint() {
		t.Error(s)
	}
	for _, key := range []*Key{s.Key(), certify(t, k, k, func(*ssh.Certificate) {})} {
		st := statement(t, key)
		sig, err := s.Sign(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Verify(sig, VerifyOptions{}); err != nil {
			t.Error(err)
		}
	}
	_, err := s.Sign(t.Context(), statement(t, keyOf(t, newEd25519(t))))
	wantError(t, err, "another key")
	_, err = s.Sign(t.Context(), statement(t, nil))
	wantError(t, err, "no key")
	if got := finish(); !bytes.Equal(got, []byte{agentList, agentSign, agentSign}) {
		t.Errorf("requests of types %v", got)
	}
}

func TestAgentListSkips(t *testing.T) {
	k := newEd25519(t)
	plain := string(keyOf(t, k).Blob())
	cert := string(certify(t, k, k, func(*ssh.Certificate) {}).Blob())
	a, _ := fakeAgent(t, func([]byte) []byte {
		return listing(7, plain, "\x1b[2Jone", string(dsaBlob()), "dsa", plain, "again", cert, "",
			string(rsaOf(t, 1024, 3, true).Blob()), "weak", "junk", "junk", "", "empty")
	})
	signers, err := a.Signers(t.Context())
	if err != nil || len(signers) != 2 {
		t.Fatal(signers, err)
	}
	if got := signers[0].String(); !strings.HasPrefix(got, `agent: \x1b[2Jone SHA256:`) {
		t.Errorf("%q", got)
	}
	if got := signers[1].String(); got != "agent: "+keyOf(t, k).Fingerprint() || !signers[1].Key().IsCert() {
		t.Errorf("%q", got)
	}
}

func TestAgentBadLists(t *testing.T) {
	for name, c := range map[string]struct {
		reply []byte
		err   string
	}{
		"gone":        {nil, "closed the connection"},
		"empty":       {[]byte{0, 0, 0, 0}, "0 bytes"},
		"endless":     {[]byte{0xff, 0xff, 0xff, 0xff}, "4294967295 bytes"},
		"too long":    {[]byte{0, 4, 0, 1}, "262145 bytes"},
		"failure":     {message(agentFailure, nil), "failed"},
		"other":       {message(99, nil), "type 99"},
		"no count":    {message(agentListed, []byte{0, 0, 0}), "type 12 and 4 bytes"},
		"big claim":   {listing(1<<32 - 1), "truncated"},
		"one missing": {listing(2, "a", "b"), "truncated"},
		"no comment":  {listing(1, "a"), "truncated"},
		"one more":    {listing(1, "a", "b", "c"), "5 bytes too many"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := fakeAgent(t, func([]byte) []byte { return c.reply })
			_, err := a.Signers(t.Context())
			wantError(t, err, "agent ", c.err)
		})
	}
}

func TestAgentLies(t *testing.T) {
	k := newEd25519(t)
	other, err := signMessage(newEd25519(t), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	replay, err := signMessage(k, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	sig := func(b []byte) []byte { return message(agentSigned, appendString(nil, b)) }
	for name, c := range map[string]struct {
		reply []byte
		err   string
	}{
		"another key":       {sig(other), "not acceptable: the signature does not verify"},
		"another message":   {sig(replay), "not acceptable: the signature does not verify"},
		"another algorithm": {sig(appendString(appendString(nil, "\x1bssh"), make([]byte, 64))), `not acceptable: bad signature: its algorithm \x1bssh`},
		"long":              {sig(appendString(appendString(nil, "ssh-ed25519"), make([]byte, 5000))), "exceed 4096"},
		"empty":             {sig(nil), "truncated"},
		"no string":         {message(agentSigned, []byte{9}), "truncated"},
		"trailing":          {message(agentSigned, append(appendString(nil, replay), 0)), "1 bytes too many"},
		"list":              {listing(0), "type 12"},
		"success":           {message(6, nil), "type 6"},
		"gone":              {nil, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := fakeAgent(t, keeper(keyOf(t, k), func([]byte, uint32) []byte { return c.reply }))
			s := onlySigner(t, a)
			got, err := s.Sign(t.Context(), statement(t, s.Key()))
			wantError(t, err, c.err)
			if got != nil {
				t.Error("a signature beside the error")
			}
		})
	}
}

func TestAgentRefuses(t *testing.T) {
	a, finish := fakeAgent(t, keeper(keyOf(t, newRSA(t)), func([]byte, uint32) []byte { return message(agentFailure, nil) }))
	s := onlySigner(t, a)
	_, err := s.Sign(t.Context(), statement(t, s.Key()))
	if !errors.Is(err, ErrAgentRefused) {
		t.Error(err)
	}
	wantError(t, err, "constrained to destinations: such keys cannot sign for rex")
	if got := finish(); len(got) != 2 {
		t.Errorf("a user who says no is asked again: %v", got)
	}
}

// Old agents ignore both flags, or the one for SHA-512.
func TestOldAgents(t *testing.T) {
	k := newRSA(t)
	withSHA1 := func(data []byte) []byte {
		digest := sha1.Sum(data)
		blob, err := k.Sign(rand.Reader, digest[:], crypto.SHA1)
		if err != nil {
			panic(err)
		}
		return message(agentSigned, appendString(nil, appendString(appendString(nil, "ssh-rsa"), blob)))
	}
	a, _ := fakeAgent(t, keeper(keyOf(t, k), func(data []byte, _ uint32) []byte { return withSHA1(data) }))
	s := onlySigner(t, a)
	_, err := s.Sign(t.Context(), statement(t, s.Key()))
	wantError(t, err, "too old", "SHA-1")

	var asked []uint32
	a, finish := fakeAgent(t, keeper(keyOf(t, k), func(data []byte, flags uint32) []byte {
		if asked = append(asked, flags); flags != agentRSASHA256 {
			return withSHA1(data)
		}
		signer, err := ssh.NewSignerFromSigner(k)
		if err != nil {
			panic(err)
		}
		sig, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA256)
		if err != nil {
			panic(err)
		}
		return message(agentSigned, appendString(nil, ssh.Marshal(sig)))
	}))
	s = onlySigner(t, a)
	if _, err := s.Sign(t.Context(), statement(t, s.Key())); err != nil {
		t.Error(err)
	}
	finish()
	if len(asked) != 2 || asked[0] != agentRSASHA512 {
		t.Errorf("asked with flags %v", asked)
	}
}

// A hanging agent is left by the context, and its late answer is not taken for
// that to another request.
func TestAgentHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	a, _ := fakeAgent(t, func([]byte) []byte {
		cancel()
		<-release
		return listing(0)
	})
	_, err := a.Signers(ctx)
	close(release)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = a.Signers(t.Context())
	wantError(t, err, "the connection was lost: context canceled")

	a, finish := fakeAgent(t, func([]byte) []byte { return listing(0) })
	if _, err := a.Signers(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := a.Signers(t.Context()); err != nil {
		t.Errorf("nothing was sent, and yet: %v", err)
	}
	a.turn <- struct{}{}
	if _, err := a.Signers(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-a.turn
	if got := finish(); len(got) != 1 {
		t.Errorf("requests %v", got)
	}
}

func TestDialAgent(t *testing.T) {
	for _, path := range []string{"", "@abstract"} {
		_, err := DialAgent(t.Context(), path)
		wantError(t, err, "not the path of a socket")
	}
	_, err := DialAgent(t.Context(), filepath.Join(t.TempDir(), "\x1bnone"))
	wantError(t, err, `\x1bnone: `, "no such file")
	if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A conversation is a peer that says what it says, whatever it is asked.
type conversation struct{ io.Reader }

func (conversation) Write(b []byte) (int, error) { return len(b), nil }

func FuzzAgentReply(f *testing.F) {
	k := string(keyOf(f, newEd25519(f)).Blob())
	f.Add(listing(2, k, "one", k, "two"))
	f.Add(listing(1<<31, k))
	f.Add(message(agentSigned, appendString(nil, appendString(appendString(nil, "ssh-ed25519"), make([]byte, 64)))))
	f.Add(message(agentFailure, nil))
	f.Add([]byte{0, 0, 0, 9, 14})
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, err := exchange(conversation{bytes.NewReader(b)}, []byte{agentList})
		if err != nil {
			wantError(t, err)
			return
		}
		if entries, err := parseIdentities(reply); err == nil && 8*len(entries) > len(b) {
			t.Fatalf("%d entries in %d bytes", len(entries), len(b))
		}
		if sig, algorithm, err := parseSigned(reply); err == nil && !strings.Contains(string(sig), algorithm) {
			t.Fatalf("%q is not in %x", algorithm, sig)
		}
	})
}
