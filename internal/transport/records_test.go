//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
)

const (
	tlsHeader        = 5 // u8 type | u16 version | u16 length
	changeCipherSpec = 20
)

// inRecords passes on what each makes of every TLS record, as soon as it is
// complete; i counts them.
func inRecords(each func(i int, record []byte) []byte) func([]byte) []byte {
	var have []byte
	n := 0
	return func(p []byte) []byte {
		have = append(have, p...)
		out := []byte{} // nil would end the connection
		for len(have) >= tlsHeader {
			size := tlsHeader + int(binary.BigEndian.Uint16(have[3:]))
			if len(have) < size {
				break
			}
			out = append(out, each(n, bytes.Clone(have[:size]))...)
			have = have[size:]
			n++
		}
		return out
	}
}

// The ways to change one record of a stream.
const (
	drop     = "drop"
	repeatIt = "duplicate"
	swap     = "swap with the next"
	flipOne  = "flip a bit of the body"
	cut      = "end the connection before it"
)

// tamper changes one record of one direction.
func tamper(direction bool, at int, op string) func(bool) func([]byte) []byte {
	return func(toServer bool) func([]byte) []byte {
		if toServer != direction {
			return unchanged(toServer)
		}
		var held []byte
		over := false
		change := inRecords(func(i int, record []byte) []byte {
			switch {
			case over:
				return nil
			case i == at+1:
				return append(record, held...)
			case i != at:
				return record
			}
			switch op {
			case drop:
				return nil
			case cut:
				over = true
				return nil
			case repeatIt:
				return slices.Concat(record, record)
			case swap:
				held = record
				return nil
			}
			record[tlsHeader+rand.IntN(len(record)-tlsHeader)] ^= 1 << rand.IntN(8)
			return record
		})
		return func(p []byte) []byte {
			if out := change(p); !over || len(out) > 0 {
				return out
			}
			return nil
		}
	}
}

// ignoredRecord says whether a change of a record is none of the session:
// ChangeCipherSpec is dropped wherever it comes ("MUST simply drop it without
// further processing", RFC 8446, section 5), and nothing counts that comes after
// the link's CLOSE (PROTOCOL.md section 5.4): TLS's own farewell, which is the
// last record, and a second copy of the last but one.
func ignoredRecord(types []byte, at int, op string) bool {
	last := len(types) - 1
	return types[at] == changeCipherSpec && op != cut || op == swap && at < last && types[at+1] == changeCipherSpec ||
		at == last || at == last-1 && op == repeatIt
}

// An echo is a session of a few records: the client says lines and CLOSE
// without waiting, and the server then says the same.
type echo struct {
	host   *auth.HostKey
	signer auth.Signer
}

var echoed = [...]string{"one\n", "two\n", "three\n"}

func sayLines(c Conn) error {
	for _, line := range echoed {
		if _, err := io.WriteString(c, line); err != nil {
			return err
		}
	}
	return c.CloseWrite()
}

// errOtherLines says that what was heard ended as if it were complete.
var errOtherLines = errors.New("other lines")

// hearLines returns nil only for all lines and an end that was said.
func hearLines(c Conn) error {
	got, err := io.ReadAll(c)
	if err == nil && string(got) != strings.Join(echoed[:], "") {
		err = errOtherLines
	}
	return err
}

// believed reports whether an end took what it heard for complete.
func believed(heard error) bool { return heard == nil || errors.Is(heard, errOtherLines) }

// play runs one echo through a middle, and returns for each end why what it
// heard was not complete.
func (e *echo) play(t *testing.T, within time.Duration, change func(bool) func([]byte) []byte) (client, server error) {
	l, err := ListenTCP(t.Context(), "127.0.0.1:0", &TCPListenOptions{HostKeys: []*auth.HostKey{e.host}, Authorizer: admit("alice", e.signer)})
	if err != nil {
		return err, err
	}
	defer l.Close()
	m := newMiddle(t, l.Addr().String(), change)
	defer m.ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- e.serve(ctx, l) }()
	client = e.dial(ctx, m.port())
	return client, <-served
}

func (e *echo) serve(ctx context.Context, l *TCPListener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	conn := c.(*ServerConn)
	if err := conn.Handshake(ctx); err != nil {
		return err
	}
	if err := hearLines(conn); err != nil {
		return err
	}
	_ = sayLines(conn)
	return nil
}

func (e *echo) dial(ctx context.Context, port int) error {
	c, err := DialTCP(ctx, "127.0.0.1", port, &TCPOptions{
		User: "alice", Signers: []auth.Signer{e.signer}, VerifyHost: func(context.Context, *HostProof) error { return nil },
	})
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := sayLines(c); err != nil {
		return err
	}
	return hearLines(c)
}

// records are the types of the records that an echo has, 0 to the client and 1
// to the server. A slow machine may add an ACK, hence it plays a few times.
func (e *echo) records(t *testing.T) (types [2][]byte) {
	t.Helper()
	for try := range 3 {
		var mu sync.Mutex
		var seen [2][]byte
		client, server := e.play(t, patience, func(toServer bool) func([]byte) []byte {
			return inRecords(func(_ int, record []byte) []byte {
				mu.Lock()
				defer mu.Unlock()
				i := 0
				if toServer {
					i = 1
				}
				seen[i] = append(seen[i], record[0])
				return record
			})
		})
		if client != nil || server != nil {
			t.Fatalf("client: %v, server: %v", client, server)
		}
		mu.Lock()
		for i := range types {
			if try == 0 || len(seen[i]) < len(types[i]) {
				types[i] = seen[i]
			}
		}
		mu.Unlock()
	}
	return types
}

// TestAttackRecords: whoever drops, repeats, reorders or changes a record, or
// ends the connection between two, has the session fail at the end that was to
// receive it, during the login and after it: nothing is missing unnoticed
// (Terrapin, CVE-2023-48795).
func TestAttackRecords(t *testing.T) {
	e := &echo{host: newHostKey(t), signer: newIdentity(t)}
	types := e.records(t)
	t.Logf("%d records to the client, %d to the server", len(types[0]), len(types[1]))
	undisturbed := func(within time.Duration) bool {
		failed := make(chan error, 2*atOnce)
		inParallel(slices.Values(make([]int, atOnce)), func(int) {
			if client, server := e.play(t, within, unchanged); client != nil || server != nil {
				failed <- errors.Join(client, server)
			}
		})
		return len(failed) == 0
	}
	type change struct {
		toServer bool
		at       int
		op       string
	}
	var changes []change
	for direction := range types {
		for at := range types[direction] {
			for _, op := range []string{drop, repeatIt, swap, flipOne, cut} {
				if !ignoredRecord(types[direction], at, op) {
					changes = append(changes, change{direction == 1, at, op})
				}
			}
		}
	}
	vouched(t, undisturbed, func(within time.Duration) {
		inParallel(slices.Values(changes), func(c change) {
			client, server := e.play(t, within, tamper(c.toServer, c.at, c.op))
			if c.toServer && believed(server) || !c.toServer && believed(client) {
				t.Errorf("record %d to the server (%v), %s: client %v, server %v", c.at, c.toServer, c.op, client, server)
			}
		})
	})
}
