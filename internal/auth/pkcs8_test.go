package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What openssl writes with other ciphers, functions and counts opens too.
func TestPKCS8(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	plain := keygen(t, "-t", "ecdsa", "-m", "PKCS8")
	path := filepath.Join(t.TempDir(), "k")
	for name, c := range map[string]struct {
		args []string
		ok   bool
	}{
		"aes-128 sha1": {[]string{"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"}, true},
		"aes-192":      {[]string{"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA384"}, true},
		"aes-256":      {[]string{"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "100000"}, true},
		"3des":         {[]string{"-v2", "des3"}, false},
		"PBES1":        {[]string{"-v1", "PBE-SHA1-3DES"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, "", "openssl", append([]string{"pkcs8", "-topk8", "-in", plain, "-passout", "pass:secret", "-out", path}, c.args...)...)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			err := use(t, path, (&answers{list: []string{"secret"}}).ask)
			if !c.ok {
				wantError(t, err, "ssh-keygen -p converts it")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Files that are not what they should be are errors of one line.
func TestDamagedPKCS8(t *testing.T) {
	params := func(v any) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: der(t, v)}}
	}
	aes256 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	file := func(derive pbkdf2Params, iv, data []byte) []byte {
		derive.PRF = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}
		scheme := pbes2Params{params(derive), pkix.AlgorithmIdentifier{Algorithm: aes256, Parameters: asn1.RawValue{FullBytes: der(t, iv)}}}
		return der(t, encryptedKey{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: der(t, scheme)}}, data})
	}
	salt, block := []byte("salt"), make([]byte, 16)
	for name, c := range map[string]struct {
		file []byte
		err  string
	}{
		"nothing":       {nil, "damaged"},
		"behind it":     {append(file(pbkdf2Params{Salt: salt, Iterations: 1}, block, block), 0), "damaged"},
		"iterations":    {file(pbkdf2Params{Salt: salt, Iterations: maxIterations + 1}, block, block), "rounds"},
		"no iterations": {file(pbkdf2Params{Salt: salt}, block, block), "damaged"},
		"vector":        {file(pbkdf2Params{Salt: salt, Iterations: 1}, block[:8], block), "damaged"},
		"half a block":  {file(pbkdf2Params{Salt: salt, Iterations: 1}, block, block[:8]), "damaged"},
		"no block":      {file(pbkdf2Params{Salt: salt, Iterations: 1}, block, nil), "damaged"},
		"key length":    {file(pbkdf2Params{Salt: salt, Iterations: 1, KeyLength: 16}, block, block), "rare"},
		"no key":        {file(pbkdf2Params{Salt: salt, Iterations: 1}, block, block), ErrPassphrase.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := parsePKCS8(c.file, []byte("secret"))
			wantError(t, err, c.err)
			if raw != nil {
				t.Error("a key beside the error")
			}
		})
	}
}

func der(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
