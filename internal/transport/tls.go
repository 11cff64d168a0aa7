package transport

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// alpnPrefix begins every name of the protocol in ALPN; the type of the host
// key follows.
const alpnPrefix = "rex/1 "

// HostKeyTypes are the types of host keys that can be the key of a TLS
// certificate, those that are better to have first.
func HostKeyTypes() []string {
	return []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}
}

// curves demands a key exchange that will also withstand quantum computers.
func curves() []tls.CurveID { return []tls.CurveID{tls.X25519MLKEM768} }

// oidHostCertificate is the X.509 extension that holds the OpenSSH certificate
// of the host key (PROTOCOL.md section 4.5).
func oidHostCertificate() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 25, 1907254821} }

// newLeaf is the TLS certificate of a host key: a case for the key and its
// OpenSSH certificate, of which nothing else counts. It is signed by a key
// that is thrown away, so that a host key signs nothing but handshakes.
func newLeaf(key *auth.HostKey) (tls.Certificate, error) {
	der, err := newCase(key.Signer().Public(), key.Certificate())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("host key %s: %w", key.Key().Type(), err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key.Signer()}, nil
}

func newCase(key crypto.PublicKey, cert *auth.Key) ([]byte, error) {
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "rex host key"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	if cert != nil {
		leaf.ExtraExtensions = []pkix.Extension{{Id: oidHostCertificate(), Value: cert.Blob()}}
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "nobody"}}
	return x509.CreateCertificate(rand.Reader, leaf, parent, key, issuer)
}

// serverConfig is for connections on which this ALPN name was chosen.
func serverConfig(alpn string, certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       curves(),
		NextProtos:             []string{alpn},
		Certificates:           certs,
		SessionTicketsDisabled: true,
		// Records grow to full size by themselves, a thousand later: what waits
		// for a whole frame gains nothing from small ones.
		DynamicRecordSizingDisabled: true,
	}
}

// clientConfig offers the types in their order. crypto/tls verifies that the
// server holds the leaf's key; whose key that must be is decided afterwards.
func clientConfig(types []string) *tls.Config {
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		CurvePreferences:            curves(),
		InsecureSkipVerify:          true, // known_hosts says which key is right, see DialTCP
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
	for _, t := range types {
		cfg.NextProtos = append(cfg.NextProtos, alpnPrefix+t)
	}
	return cfg
}

// checkState is what both ends demand of a handshake beyond crypto/tls.
func checkState(cs *tls.ConnectionState) error {
	switch {
	case cs.Version != tls.VersionTLS13:
		return errors.New("tls: another version than 1.3")
	case cs.DidResume:
		return errors.New("tls: a resumed session")
	case cs.CurveID != tls.X25519MLKEM768:
		return errors.New("tls: another key exchange than X25519MLKEM768")
	case !strings.HasPrefix(cs.NegotiatedProtocol, alpnPrefix):
		return errors.New("tls: the peer does not speak rex")
	}
	return nil
}

// proofOf is the host's proof in a finished handshake.
func proofOf(cs *tls.ConnectionState) (*HostProof, error) {
	if err := checkState(cs); err != nil {
		return nil, err
	}
	if len(cs.PeerCertificates) != 1 {
		return nil, errors.New("tls: the server did not send exactly one certificate")
	}
	leaf := cs.PeerCertificates[0]
	key, err := auth.KeyOf(leaf.PublicKey)
	if err == nil {
		err = auth.CheckAlgorithm(key)
	}
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	if cs.NegotiatedProtocol != alpnPrefix+key.Type() {
		return nil, fmt.Errorf("tls: a host key of type %s for %q", key.Type(), cs.NegotiatedProtocol)
	}
	proof := &HostProof{Key: key}
	for _, ext := range leaf.Extensions {
		if !ext.Id.Equal(oidHostCertificate()) {
			continue
		}
		cert, err := auth.ParseKey(ext.Value)
		if err != nil {
			return nil, fmt.Errorf("host certificate: %w", err)
		}
		if !cert.IsCert() || !cert.Plain().Equal(key) {
			return nil, errors.New("host certificate: it is not for the host key")
		}
		proof.Cert = cert
	}
	return proof, nil
}

// exported is what both ends know of this connection and of no other.
func exported(cs *tls.ConnectionState) ([]byte, error) {
	return cs.ExportKeyingMaterial(auth.ExporterLabel, nil, auth.ExporterLength)
}
