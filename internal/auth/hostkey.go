package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// A HostKey is what a server proves its identity with. It is immutable, and its
// methods may be called concurrently.
type HostKey struct {
	key    *Key
	cert   *Key
	signer crypto.Signer
}

// Key is the plain public key.
func (h *HostKey) Key() *Key { return h.key }

// Certificate is the host certificate, nil if there is none.
func (h *HostKey) Certificate() *Key { return h.cert }

// Signer is the private key: an ed25519.PrivateKey, *ecdsa.PrivateKey or
// *rsa.PrivateKey, for the certificate of a TLS server.
func (h *HostKey) Signer() crypto.Signer { return h.signer }

// LoadHostKey reads a host's private key in any format of ssh-keygen(1), and
// the certificate in path with "-cert.pub" appended if that exists; one that
// is not a host's or for another key is an error, one that expired is not. The
// key has no passphrase, and nobody but root or this process's user owns the
// file or has access to it. The error is a *[KeyFileError].
func LoadHostKey(path string) (*HostKey, error) {
	file, err := readKeyFile(path, ownerOnly)
	if err != nil {
		return nil, err
	}
	signer, key, err := parsePrivate(file, nil)
	if errors.Is(err, errEncrypted) {
		err = errors.New("a host key must not have a passphrase")
	}
	if err != nil {
		return nil, keyFileError(path, err)
	}
	cert, err := hostCertificate(path+"-cert.pub", key)
	if err != nil {
		return nil, err
	}
	return &HostKey{key, cert, signer}, nil
}

// hostCertificate is the certificate for key in the file, nil without a file.
func hostCertificate(path string, key *Key) (*Key, error) {
	k, err := LoadCertificate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cert, ok := k.pub.(*ssh.Certificate)
	switch {
	case !ok || cert.CertType != ssh.HostCert:
		return nil, badKeyFile(path, "this is not a host certificate")
	case !k.Plain().Equal(key):
		return nil, badKeyFile(path, "the certificate is for another key")
	}
	if err := CheckAlgorithm(k); err != nil {
		return nil, keyFileError(path, err)
	}
	return k, nil
}

// CreateHostKey makes an ed25519 key and writes it to path in OpenSSH's format,
// for its owner only, with the public key in path.pub. The directory is made if
// missing, for its owner only. A file that exists stays as it is:
// [fs.ErrExist]; of several processes one succeeds, and the others can load what
// it made. A key that was returned survives the loss of power. The error is a
// *[KeyFileError].
func CreateHostKey(path string) (*HostKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, keyFileError(path, err)
	}
	block, err := ssh.MarshalPrivateKey(private, "rex host key")
	if err != nil {
		return nil, keyFileError(path, foreignError{err})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, keyFileError(path, err)
	}
	if err := place(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, keyFileError(path, err)
	}
	h, err := LoadHostKey(path)
	if err != nil {
		return nil, err
	}
	public := path + ".pub"
	if err := os.Remove(public); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, keyFileError(public, err)
	}
	if err := place(public, []byte(h.Key().String()+" rex host key\n"), 0o644); err != nil {
		return nil, keyFileError(public, err)
	}
	return h, nil
}

// place makes a file that is whole or not there, and never replaces one.
func place(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".rex-*") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename: not onto another
		return plainLinkError(err)
	}
	return syncDirectory(dir)
}

// plainLinkError leaves out the temporary name.
func plainLinkError(err error) error {
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}
