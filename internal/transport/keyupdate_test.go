//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// expandLabel is HKDF-Expand-Label without a context (RFC 8446, section 7.1).
func expandLabel(t *testing.T, secret []byte, label string, size int) []byte {
	t.Helper()
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), size)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// keyUpdates are the first records of a client with that traffic secret, each a
// KeyUpdate that is sealed with the keys of the one before (RFC 8446, sections
// 4.6.3 and 7.2).
func keyUpdates(t *testing.T, secret []byte, many int, requested byte) (out []byte) {
	t.Helper()
	const handshake, applicationData, keyUpdate = 22, 23, 24
	for range many {
		block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		inner := []byte{keyUpdate, 0, 0, 1, requested, handshake}
		head := []byte{applicationData, 3, 3, 0, byte(len(inner) + gcm.Overhead())}
		// The sequence number, which is 0 with new keys, changes no bit of the iv.
		out = append(append(out, head...), gcm.Seal(nil, expandLabel(t, secret, "iv", 12), inner, head)...)
		secret = expandLabel(t, secret, "traffic upd", sha256.Size)
	}
	return out
}

// TestTLSKeyUpdates: messages of TLS that move nothing cost a client that has
// not logged in its connection, and the server nothing (CVE-2025-26466,
// CVE-2026-56862). A few of them are no fault.
func TestTLSKeyUpdates(t *testing.T) {
	known := newIdentity(t)
	s := serveTCP(t, admit("alice", known))
	for _, c := range []struct {
		many      int
		requested byte
		want      string
	}{{8, 0, "EOF"}, {8, 1, "EOF"}, {10_000, 0, "too many"}, {10_000, 1, "too many"}} {
		t.Run(fmt.Sprint(c.many, " requested ", c.requested), func(t *testing.T) {
			raw, secret := s.shakeLogged(t)
			flood := keyUpdates(t, secret, c.many, c.requested)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := raw.Write(flood); err != nil && c.want == "EOF" {
				t.Error(err)
			}
			_ = raw.CloseWrite()
			_, _ = io.Copy(io.Discard, raw)
			got := s.login(t)
			runtime.ReadMemStats(&after)
			if got.err == nil || !strings.Contains(got.err.Error(), c.want) {
				t.Errorf("the server says %v", got.err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// shakeLogged is a connection that TLS is ready on, and the secret of the
// client's direction, with which nothing was sent yet.
func (s *tcpServer) shakeLogged(t *testing.T) (*net.TCPConn, []byte) {
	t.Helper()
	var keys bytes.Buffer
	cfg := clientConfig(HostKeyTypes())
	cfg.KeyLogWriter = &keys
	conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	raw := conn.NetConn().(*net.TCPConn)
	t.Cleanup(func() { raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(patience))
	if conn.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("needs a processor with AES")
	}
	for line := range strings.Lines(keys.String()) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(fields[2])
			if err != nil {
				t.Fatal(err)
			}
			return raw, secret
		}
	}
	t.Fatal("no secret was logged")
	return nil, nil
}
