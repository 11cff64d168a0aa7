package auth

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestLoadHostKey(t *testing.T) {
	for name, args := range kinds() {
		if name == "rsa 4096" {
			continue
		}
		path := keygen(t, args...)
		h, err := LoadHostKey(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := LoadPublicKey(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		if !h.Key().Equal(want) || h.Certificate() != nil || !keyOf(t, h.Signer()).Equal(want) {
			t.Errorf("%s is another key", name)
		}
		if _, value := h.Signer().(ed25519.PrivateKey); value != (name == "ed25519") {
			t.Errorf("%s is a %T", name, h.Signer())
		}
	}
}

func TestHostCertificate(t *testing.T) {
	path, ca := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ecdsa")
	run(t, "", "ssh-keygen", "-q", "-s", ca, "-h", "-I", "id", "-n", "web1.corp", "-V", "20200101:20200102", path+".pub")
	h, err := LoadHostKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if h.Certificate() == nil || !h.Certificate().Plain().Equal(h.Key()) || h.Key().IsCert() {
		t.Error(h.Key(), h.Certificate())
	}
	certPath := path + "-cert.pub"
	other := newEd25519(t)
	host := func(c *ssh.Certificate) { c.CertType = ssh.HostCert }
	for name, c := range map[string]struct{ text, err string }{
		"user":      {certify(t, h.Signer(), other, func(*ssh.Certificate) {}).String(), "not a host certificate"},
		"other":     {certify(t, other, other, host).String(), "for another key"},
		"plain":     {h.Key().String(), "not a certificate"},
		"junk":      {"junk", "bad key"},
		"empty":     {"", "no key"},
		"authority": {certify(t, h.Signer(), newWeakRSA(t), host).String(), "authority: ssh-rsa key: 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, certPath, c.text, 0o644)
			_, err := LoadHostKey(path)
			wantError(t, err, certPath, c.err)
		})
	}
}

func TestLoadHostKeyRefuses(t *testing.T) {
	secret := keygen(t, "-t", "ed25519", "-N", "secret")
	legacy := keygen(t, "-t", "ecdsa", "-N", "secret", "-m", "PEM")
	for path, want := range map[string]string{
		secret:                               "must not have a passphrase",
		legacy:                               "must not have a passphrase",
		filepath.Join(t.TempDir(), "none"):   "no such file",
		t.TempDir():                          "not a regular file",
		keygen(t, "-t", "rsa", "-b", "1024"): "1024 bits",
		filepath.Join(keygen(t, "-t", "ed25519"), "x"): "not a directory",
	} {
		_, err := LoadHostKey(path)
		wantError(t, err, path, want)
		var file *KeyFileError
		if !errors.As(err, &file) {
			t.Errorf("%T", err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	path := keygen(t, "-t", "ed25519")
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o610, 0o666} {
		os.Chmod(path, mode)
		if _, err := LoadHostKey(path); !errors.Is(err, ErrExposed) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if os.Getuid() == 0 {
		os.Chmod(path, 0o600)
		os.Chown(path, 12345, -1)
		_, err := LoadHostKey(path)
		wantError(t, err, "uid 12345 owns it", "others")
	}
}

func TestCreateHostKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "rex")
	path := filepath.Join(dir, "host_key")
	h, err := CreateHostKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for name, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600, path + ".pub": 0o644} {
			if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", name, fi.Mode(), err)
			}
		}
	}
	if names := entries(t, dir); names != "host_key host_key.pub" {
		t.Error(names)
	}
	again, err := LoadHostKey(path)
	if err != nil || !again.Key().Equal(h.Key()) {
		t.Error(err)
	}
	if out := run(t, "", "ssh-keygen", "-y", "-f", path); !strings.HasPrefix(out, h.Key().String()) {
		t.Errorf("ssh-keygen reads %s", out)
	}
	if out := run(t, "", "ssh-keygen", "-lf", path+".pub"); !strings.Contains(out, h.Key().Fingerprint()+" rex host key (ED25519)") {
		t.Errorf("ssh-keygen reads %s", out)
	}

	before := read(t, path)
	_, err = CreateHostKey(path)
	if !errors.Is(err, fs.ErrExist) || read(t, path) != before {
		t.Error(err)
	}
	wantError(t, err, path+": file exists")
	os.Remove(path) // and an old .pub is replaced
	if h, err = CreateHostKey(path); err != nil || !strings.HasPrefix(read(t, path+".pub"), h.Key().String()) {
		t.Error(err)
	}
	os.Remove(path)
	os.Remove(path + ".pub")
	os.MkdirAll(filepath.Join(path+".pub", "full"), 0o700)
	_, err = CreateHostKey(path)
	wantError(t, err, path+".pub: ")
	_, err = CreateHostKey(filepath.Join(path, "below"))
	wantError(t, err, "not a directory")
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// Of daemons that start together one makes the key, and it is never half there.
func TestCreateHostKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host_key")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 16 {
		wg.Go(func() {
			h, err := CreateHostKey(path)
			if errors.Is(err, fs.ErrExist) {
				h, err = LoadHostKey(path)
			} else if err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			}
			if err != nil || h.Key().Type() != ssh.KeyAlgoED25519 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d made the key", made)
	}
	if names := entries(t, filepath.Dir(path)); names != "host_key host_key.pub" {
		t.Error(names)
	}
}
