package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// answers gives one answer after the other and counts the questions.
type answers struct {
	list    []string
	prompts []string
}

func (a *answers) ask(_ context.Context, prompt string) ([]byte, error) {
	a.prompts = append(a.prompts, prompt)
	if len(a.prompts) > len(a.list) {
		return nil, errors.New("asked too often")
	}
	return []byte(a.list[len(a.prompts)-1]), nil
}

// use opens the identity, signs with it and verifies.
func use(t *testing.T, path string, ask Passphrase) error {
	t.Helper()
	id, err := OpenIdentity(path, ask)
	if err != nil {
		return err
	}
	s := statement(t, id.Key())
	sig, err := id.Sign(t.Context(), s)
	if err != nil {
		return err
	}
	return s.Verify(sig, VerifyOptions{})
}

// Every type in every format of ssh-keygen, with and without a passphrase.
func TestIdentityFormats(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa/256", "ecdsa/384", "ecdsa/521", "rsa/2048", "rsa/3072", "rsa/4096"} {
		name, bits, _ := strings.Cut(kind, "/")
		args := []string{"-t", name}
		if bits != "" {
			args = append(args, "-b", bits)
		}
		path := keygen(t, args...)
		for _, format := range []string{"RFC4716", "PEM", "PKCS8"} {
			if name == "ed25519" && format != "RFC4716" {
				continue // ssh-keygen writes it in its own format only
			}
			t.Run(kind+" "+format, func(t *testing.T) {
				run(t, "", "ssh-keygen", "-q", "-p", "-P", "", "-N", "", "-m", format, "-f", path)
				if err := use(t, path, nobody); err != nil {
					t.Error(err)
				}
				run(t, "", "ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-a", "1", "-m", format, "-f", path)
				defer run(t, "", "ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-m", format, "-f", path)
				if err := use(t, path, (&answers{list: []string{"secret"}}).ask); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestPassphraseIsAskedForLate(t *testing.T) {
	path := keygen(t, "-t", "ed25519", "-N", "secret")
	a := &answers{list: []string{"wrong", "", "secret", "wrong", "secret"}}
	id, err := OpenIdentity(path, a.ask)
	if err != nil || len(a.prompts) > 0 {
		t.Fatal(err, a.prompts)
	}
	if want := ed25519Key(t, path+".pub"); !id.Key().Equal(want) || id.String() != path {
		t.Error(id.Key(), id)
	}
	s := statement(t, id.Key())
	if _, err := id.Sign(t.Context(), s); !errors.Is(err, ErrPassphrase) { // an empty answer ends it
		t.Error(err)
	}
	for range 2 {
		if _, err := id.Sign(t.Context(), s); err != nil && len(a.prompts) == 3 {
			t.Error(err)
		}
	}
	if len(a.prompts) != 3 {
		t.Errorf("asked %q", a.prompts)
	}
	if want := "passphrase for " + path + ": "; a.prompts[0] != want {
		t.Errorf("asked %q, want %q", a.prompts[0], want)
	}
}

func ed25519Key(t *testing.T, path string) *Key {
	t.Helper()
	k, err := LoadPublicKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWrongPassphrases(t *testing.T) {
	path := keygen(t, "-t", "ecdsa", "-N", "secret")
	legacy := keygen(t, "-t", "rsa", "-b", "2048", "-N", "secret", "-m", "PEM")
	pkcs8 := keygen(t, "-t", "ecdsa", "-N", "secret", "-m", "PKCS8")
	for _, p := range []string{path, legacy, pkcs8} {
		a := &answers{list: []string{"a", "b", "c", "secret"}}
		err := use(t, p, a.ask)
		var file *KeyFileError
		if !errors.Is(err, ErrPassphrase) || !errors.As(err, &file) || file.Path != p || len(a.prompts) != 3 {
			t.Errorf("%v after %q", err, a.prompts)
		}
		if err := use(t, p, nil); !errors.Is(err, ErrPassphrase) {
			t.Errorf("nobody to ask: %v", err)
		}
		wantError(t, use(t, p, nobody), "nobody is there")
	}
}

// Of many at once, one asks.
func TestOnePromptForAll(t *testing.T) {
	path := keygen(t, "-t", "ed25519", "-N", "secret")
	a := &answers{list: []string{"secret"}}
	id, err := OpenIdentity(path, a.ask)
	if err != nil {
		t.Fatal(err)
	}
	s := statement(t, id.Key())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := id.Sign(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPEMWithoutPublicKey(t *testing.T) {
	path := keygen(t, "-t", "ecdsa", "-N", "secret", "-m", "PEM")
	want := ed25519Key(t, path+".pub")
	os.Remove(path + ".pub")
	a := &answers{list: []string{"secret"}}
	id, err := OpenIdentity(path, a.ask)
	if err != nil || len(a.prompts) != 1 || !id.Key().Equal(want) {
		t.Fatal(err, a.prompts)
	}
	if _, err := id.Sign(t.Context(), statement(t, want)); err != nil {
		t.Error(err)
	}

	other := keygen(t, "-t", "ed25519")
	os.Rename(other+".pub", path+".pub")
	wantError(t, use(t, path, (&answers{list: []string{"secret"}}).ask), "of another key")
	write(t, path+".pub", "junk", 0o644)
	wantError(t, use(t, path, nobody), "id.pub: bad key")
	write(t, path+".pub", certify(t, newEd25519(t), newEd25519(t), func(*ssh.Certificate) {}).String(), 0o644)
	wantError(t, use(t, path, nobody), "id.pub: this is a certificate")
}

func write(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	os.Remove(path)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestBadIdentityFiles(t *testing.T) {
	dir := t.TempDir()
	good := keygen(t, "-t", "ed25519")
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "k")
	for name, c := range map[string]struct{ text, err string }{
		"empty":     {"", "not a private key"},
		"junk":      {"\x1b[31mjunk", "not a private key"},
		"public":    {ed25519Key(t, good+".pub").String(), "public key and not a private"},
		"truncated": {string(text[:len(text)/2]), "not a private key"},
		"type":      {pemBlock("\x1b[31m KEY", nil), `\x1b[31m KEY`},
		"certs":     {pemBlock("CERTIFICATE", nil), "CERTIFICATE"},
		"no key":    {pemBlock("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00")), ""},
		"token":     {securityKeyFile(t), "agent"},
		"two keys":  {patchedFile(t), "two keys"},
		"two parts": {mixedFile(t), "two keys"},
		"DSA":       {dsaFile(t), "type of the key is not supported"},
		"new DSA":   {opensshFile(dsaBlob(), make([]byte, 8), dsaBlob()), "unhandled key type"},
		"long":      {strings.Repeat("x", maxKeyFile+1), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, c.text, 0o600)
			id, err := OpenIdentity(path, nobody)
			wantError(t, err, "key file "+path+": ", c.err)
			if id != nil {
				t.Error("a signer beside the error")
			}
		})
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func pemBlock(kind string, b []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
}

// opensshFile is a key file in OpenSSH's format, without a passphrase.
func opensshFile(public []byte, private ...[]byte) string {
	b := []byte("openssh-key-v1\x00")
	for _, s := range []string{"none", "none", ""} {
		b = appendString(b, s)
	}
	b = appendString(append(b, 0, 0, 0, 1), public)
	return pemBlock("OPENSSH PRIVATE KEY", appendString(b, slices.Concat(private...)))
}

// securityKeyFile is what ssh-keygen -t ed25519-sk writes: no private key.
func securityKeyFile(t testing.TB) string {
	tok := newToken(t, ssh.KeyAlgoSKED25519)
	return opensshFile(tok.key.Blob(), make([]byte, 8), tok.key.Blob(), []byte("handle"))
}

// patchedFile has one key's seed and another one's public half, which is how a
// signature is made to give the key away.
func patchedFile(t testing.TB) string {
	one, two := newEd25519(t), newEd25519(t)
	other := two.Public().(ed25519.PublicKey)
	private := appendString(make([]byte, 8), "ssh-ed25519")
	private = appendString(private, other)
	private = appendString(private, slices.Concat(one.Seed(), other))
	private = appendString(private, "")
	for pad := byte(1); len(private)%8 != 0; pad++ {
		private = append(private, pad)
	}
	return opensshFile(keyOf(t, two).Blob(), private)
}

// mixedFile has the whole private key of one and shows the public one of another.
func mixedFile(t testing.TB) string {
	block, err := ssh.MarshalPrivateKey(newEd25519(t), "")
	if err != nil {
		t.Fatal(err)
	}
	one, two := clearKey(pem.EncodeToMemory(block)).Blob(), keyOf(t, newEd25519(t)).Blob()
	return pemBlock(block.Type, bytes.Replace(block.Bytes, one, two, 1))
}

func dsaFile(t testing.TB) string {
	der, err := asn1.Marshal(struct{ Version, P, Q, G, Pub, Priv int }{0, 7, 3, 2, 4, 2})
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("DSA PRIVATE KEY", der)
}

func TestIdentityModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	path := keygen(t, "-t", "ed25519")
	for mode := range fs.FileMode(0o1000) {
		if mode&0o400 == 0 {
			continue
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenIdentity(path, nil)
		if (err == nil) != (mode&0o077 == 0) || err != nil && !errors.Is(err, ErrExposed) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	os.Chmod(path, 0o644)
	_, err := OpenIdentity(path, nil)
	wantError(t, err, path, "its mode is 0644: others have access to it")
	if os.Getuid() == 0 { // somebody else's file is his business
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(path, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestNotARegularFile(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenIdentity(dir, nil)
	wantError(t, err, "not a regular file")
	_, err = OpenIdentity(filepath.Join(dir, "\x1bmissing"), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	wantError(t, err, `\x1bmissing: no such file`)
	link := filepath.Join(dir, "link")
	os.Symlink(keygen(t, "-t", "ed25519"), link)
	if _, err := OpenIdentity(link, nil); err != nil {
		t.Error(err)
	}
}

func TestLoadCertificate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.pub")
	cert := certify(t, newEd25519(t), newEd25519(t), func(*ssh.Certificate) {})
	write(t, path, "# a comment\n\n"+cert.String()+" comment\n", 0o644)
	got, err := LoadCertificate(path)
	if err != nil || !got.Equal(cert) {
		t.Error(err)
	}
	write(t, path, cert.Plain().String(), 0o644)
	_, err = LoadCertificate(path)
	wantError(t, err, path, "not a certificate")
	write(t, path, "# nothing\n", 0o644)
	_, err = LoadCertificate(path)
	wantError(t, err, "no key")
	_, err = LoadCertificate(path + "x")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzPrivateKey(f *testing.F) {
	f.Add([]byte(read(f, keygen(f, "-t", "ed25519"))), false)
	f.Add([]byte(read(f, keygen(f, "-t", "ecdsa", "-m", "PEM"))), false)
	f.Add([]byte(read(f, keygen(f, "-t", "ecdsa", "-N", "secret", "-m", "PEM"))), true)
	f.Add([]byte(read(f, keygen(f, "-t", "ecdsa", "-N", "secret", "-m", "PKCS8"))), true)
	f.Add([]byte(securityKeyFile(f)), false)
	f.Add([]byte(patchedFile(f)), true)
	f.Fuzz(func(t *testing.T, file []byte, encrypted bool) {
		var passphrase []byte
		if encrypted {
			passphrase = []byte("secret")
		}
		signer, key, err := parsePrivate(file, passphrase)
		if err != nil {
			wantError(t, err)
			return
		}
		s := statement(t, key)
		sig, err := signMessage(signer, signed(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(sig, VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}
