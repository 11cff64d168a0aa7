package auth

import (
	"crypto/rsa"
	"math"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"
)

// rsaOf is a key with a modulus that nobody knows the factors of.
func rsaOf(t testing.TB, bits, e int, odd bool) *Key {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	if odd {
		n.SetBit(n, 0, 1)
	}
	k, err := KeyOf(&rsa.PublicKey{N: n, E: e})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCheckAlgorithm(t *testing.T) {
	for name, k := range software(t) {
		if err := CheckAlgorithm(keyOf(t, k)); err != nil || keyOf(t, k).Type() != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		if err := CheckAlgorithm(newToken(t, name).key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := uint32(math.MaxInt32 + 2)
	tooLong := int(long) // negative where an int has 32 bits
	for _, c := range []struct {
		name string
		key  *Key
		err  string
	}{
		{"smallest", rsaOf(t, 2048, 65537, true), ""},
		{"largest", rsaOf(t, 8192, 3, true), ""},
		{"longest exponent", rsaOf(t, 2048, math.MaxInt32, true), ""},
		{"small", rsaOf(t, 2047, 65537, true), "ssh-rsa key: 2047 bits are too few"},
		{"tiny", rsaOf(t, 1024, 65537, true), "1024 bits are too few"},
		{"huge", rsaOf(t, 8193, 65537, true), "ssh-rsa key: 8193 bits are too many"},
		{"even modulus", rsaOf(t, 2048, 65537, false), "modulus"},
		{"exponent 1", rsaOf(t, 2048, 1, true), "exponent 1"},
		{"exponent 0", rsaOf(t, 2048, 0, true), "exponent 0"},
		{"negative exponent", rsaOf(t, 2048, -3, true), "exponent -3"},
		{"even exponent", rsaOf(t, 2048, 65536, true), "exponent 65536"},
		{"long exponent", rsaOf(t, 2048, tooLong, true), "exponent"},
		{"DSA", mustParse(t, dsaBlob()), "ssh-dss key: DSA"},
		{"nil", nil, "no key"},
		{"zero", new(Key), "no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckAlgorithm(c.key)
			if c.err != "" {
				wantError(t, err, c.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheckAlgorithmOfCertificates(t *testing.T) {
	weak := newWeakRSA(t)
	good := newEd25519(t)
	if err := CheckAlgorithm(certify(t, good, newRSA(t), func(*ssh.Certificate) {})); err != nil {
		t.Error(err)
	}
	wantError(t, CheckAlgorithm(certify(t, good, weak, func(*ssh.Certificate) {})), "authority: ssh-rsa key: 1024 bits")
	wantError(t, CheckAlgorithm(certify(t, weak, good, func(*ssh.Certificate) {})), "ssh-rsa key: 1024 bits")
	dsa := mustParse(t, dsaBlob())
	ca, err := ssh.NewSignerFromSigner(good)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, CheckAlgorithm(certifyWith(t, dsa.pub, ca, func(*ssh.Certificate) {})), "ssh-dss")
}

// Every pair of key and signature algorithm: only a key's own counts.
func TestSignsWith(t *testing.T) {
	own := map[string][]string{
		ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
		ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
		ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
		ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
		ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
		ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
		ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
	}
	formats := []string{
		"", "ssh-rsa", "rsa-sha2-256", "rsa-sha2-512", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
		"sk-ecdsa-sha2-nistp256@openssh.com", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
		"webauthn-sk-ssh-ed25519@openssh.com", "ssh-ed25519-cert-v01@openssh.com",
		"rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
	}
	for key, mine := range own {
		accepted := 0
		for _, f := range formats {
			if signsWith(key, f) {
				accepted++
			}
		}
		for _, f := range mine {
			if !signsWith(key, f) {
				t.Errorf("%s does not sign with %s", key, f)
			}
		}
		if accepted != len(mine) {
			t.Errorf("%s signs with %d algorithms instead of %v", key, accepted, mine)
		}
	}
}
