package muxtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
)

// Link is the network of links over TLS over TCP. It is one of Networks.
func Link() Network { return Network{"link", linkPair} }

func linkPair(t testing.TB) (Conn, Conn) {
	t.Helper()
	c, s := TLS().Pair(t)
	return closedAfter(t, mux.NewLink(c, nil), mux.NewLink(s, nil))
}

// TLS is the network of TLS 1.3 over TCP. A session needs a link on it: it cannot tell the end of what was said from
// the end of the connection.
func TLS() Network { return Network{"tls", tlsPair} }

func tlsPair(t testing.TB) (Conn, Conn) {
	t.Helper()
	c, s := tcpPair(t)
	client, server := TLSOver(t, c.(net.Conn), s.(net.Conn))
	return closedAfter(t, client, server)
}

// TLSOver returns the two ends of TLS 1.3, handshake done, over the given connections, which the ends close.
func TLSOver(t testing.TB, c, s net.Conn) (client, server *tls.Conn) {
	t.Helper()
	server = tls.Server(s, &tls.Config{
		Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		DynamicRecordSizingDisabled: true,
	})
	client = tls.Client(c, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, //nolint:gosec // both ends are ours
		DynamicRecordSizingDisabled: true,
	})
	shaken := make(chan error, 1)
	go func() { shaken <- server.HandshakeContext(t.Context()) }()
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// certificate is one that says nothing.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
