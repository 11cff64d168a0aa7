package auth

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"path/filepath"
	"testing"
)

// kinds are what ssh-keygen makes.
func kinds() map[string][]string {
	return map[string][]string{
		"ed25519":   {"-t", "ed25519"},
		"ecdsa 256": {"-t", "ecdsa", "-b", "256"},
		"ecdsa 384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa 521": {"-t", "ecdsa", "-b", "521"},
		"rsa 2048":  {"-t", "rsa", "-b", "2048"},
		"rsa 3072":  {"-t", "rsa", "-b", "3072"},
		"rsa 4096":  {"-t", "rsa", "-b", "4096"},
	}
}

// The message that is hashed into the signed blob.
func hashed(s *Statement) []byte {
	var m []byte
	for _, field := range [][]byte{
		[]byte(Namespace), s.Exporter, []byte(s.ALPN), s.HostKey.Blob(), []byte(s.User), s.Key.Blob(),
	} {
		m = append(binary.BigEndian.AppendUint32(m, uint32(len(field))), field...)
	}
	return m
}

// armor is a signature as ssh-keygen -Y writes it.
func armor(key *Key, namespace string, sig []byte) string {
	b := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	b = appendString(b, key.Blob())
	b = appendString(b, namespace)
	b = appendString(b, "")
	b = appendString(b, "sha512")
	return pemBlock("SSH SIGNATURE", appendString(b, sig))
}

// disarm is the reverse; the fields before the signature must be these.
func disarm(t *testing.T, text string, key *Key, namespace string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no signature in %q", text)
	}
	want, _ := pem.Decode([]byte(armor(key, namespace, nil)))
	head := want.Bytes[:len(want.Bytes)-4]
	rest, ok := bytes.CutPrefix(block.Bytes, head)
	if !ok {
		t.Fatalf("the head of the signature is %q, want %q", block.Bytes, head)
	}
	sig, rest, err := cutString(rest)
	if err != nil || len(rest) > 0 {
		t.Fatal("not one signature:", err)
	}
	return sig
}

// What rex signs is an SSHSIG signature to ssh-keygen, and the reverse.
func TestSSHKeygenAgrees(t *testing.T) {
	for name, args := range kinds() {
		t.Run(name, func(t *testing.T) {
			path, dir := keygen(t, args...), t.TempDir()
			id, err := OpenIdentity(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := statement(t, id.Key())
			sig, err := id.Sign(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			allowed, file := filepath.Join(dir, "allowed"), filepath.Join(dir, "sig")
			write(t, allowed, "alice "+id.Key().String()+"\n", 0o600)
			check := func(message []byte, namespace string) error {
				_, err := try(t, string(message), "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "alice",
					"-n", namespace, "-s", file)
				return err
			}
			write(t, file, armor(id.Key(), Namespace, sig), 0o600)
			if err := check(hashed(s), Namespace); err != nil {
				t.Error("ssh-keygen refuses:", err)
			}
			if check(hashed(s), "git") == nil || check(append(hashed(s), 0), Namespace) == nil {
				t.Error("ssh-keygen accepts another namespace or message")
			}
			write(t, file, armor(id.Key(), "git", sig), 0o600)
			if check(hashed(s), "git") == nil {
				t.Error("ssh-keygen accepts the signature in another namespace")
			}

			message := filepath.Join(dir, "message")
			write(t, message, string(hashed(s)), 0o600)
			for namespace, want := range map[string]error{Namespace: nil, "git": ErrSignature} {
				run(t, "y\n", "ssh-keygen", "-q", "-Y", "sign", "-f", path, "-n", namespace, message)
				theirs := disarm(t, read(t, message+".sig"), id.Key(), namespace)
				if err := s.Verify(theirs, VerifyOptions{}); err != want {
					t.Errorf("namespace %s: %v, want %v", namespace, err, want)
				}
			}
		})
	}
}

// A certificate takes the place of the key in the statement and nowhere else:
// the signature stays the key's.
func TestSSHKeygenAgreesOnCertificates(t *testing.T) {
	path, ca := keygen(t, "-t", "ecdsa"), keygen(t, "-t", "rsa", "-b", "2048")
	run(t, "", "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", "alice", path+".pub")
	cert, err := LoadCertificate(path + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	id, err := OpenIdentity(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := WithCertificate(id, cert)
	if err != nil {
		t.Fatal(err)
	}
	s := statement(t, cert)
	sig, err := signer.Sign(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	file, allowed := filepath.Join(t.TempDir(), "sig"), filepath.Join(t.TempDir(), "allowed")
	write(t, file, armor(id.Key(), Namespace, sig), 0o600)
	write(t, allowed, "alice "+id.Key().String()+"\n", 0o600)
	run(t, string(hashed(s)), "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "alice", "-n", Namespace, "-s", file)
}
