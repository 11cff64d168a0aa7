package auth

import (
	"bytes"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestKeyIsWhatSSHKeygenSays(t *testing.T) {
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "384"}, {"-t", "rsa", "-b", "2048"}} {
		path := keygen(t, args...)
		line, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		k, comment, err := ParseKeyLine(line)
		if err != nil {
			t.Fatal(err)
		}
		if comment != "a comment" {
			t.Errorf("comment %q", comment)
		}
		if !strings.HasPrefix(string(line), k.String()+" ") || !strings.HasPrefix(string(line), k.Type()+" ") {
			t.Errorf("%s is not the key of %s", k, line)
		}
		if out := run(t, "", "ssh-keygen", "-lf", path); !strings.Contains(out, " "+k.Fingerprint()+" ") {
			t.Errorf("fingerprint %s, ssh-keygen says %s", k.Fingerprint(), out)
		}
		if k.IsCert() || k.Authority() != nil || k.Plain() != k {
			t.Error("a plain key passes for a certificate")
		}
	}
}

func TestCertificateParts(t *testing.T) {
	user, ca := newEd25519(t), newRSA(t)
	cert := certify(t, user, ca, func(*ssh.Certificate) {})
	plain := keyOf(t, user)
	switch {
	case !cert.IsCert() || cert.Type() != ssh.CertAlgoED25519v01:
		t.Error("not a certificate:", cert.Type())
	case !cert.Plain().Equal(plain) || cert.Equal(plain) || plain.Equal(cert) || plain.Equal(nil):
		t.Error("wrong equalities")
	case !cert.Authority().Equal(keyOf(t, ca)):
		t.Error("wrong authority")
	case cert.Fingerprint() != plain.Fingerprint():
		t.Error("the fingerprint is not the key's")
	}
}

func TestParseKeyShares(t *testing.T) {
	blob := bytes.Clone(keyOf(t, newEd25519(t)).Blob())
	k := mustParse(t, blob)
	before := k.String()
	clear(blob)
	if k.String() != before || bytes.Equal(k.Blob(), blob) {
		t.Error("the key shares memory with its input")
	}
}

func TestParseKeyRefuses(t *testing.T) {
	blob := keyOf(t, newEd25519(t)).Blob()
	cert := certify(t, newEd25519(t), newEd25519(t), func(*ssh.Certificate) {}).Blob()
	unordered := appendString(appendString(nil, "ssh-rsa"), []byte{0, 0, 1, 0, 1}) // a number with a zero too many
	unordered = appendString(unordered, append([]byte{0}, bytes.Repeat([]byte{0xff}, 256)...))
	for name, bad := range map[string][]byte{
		"empty":         nil,
		"trailing":      append(bytes.Clone(blob), 0),
		"after cert":    append(bytes.Clone(cert), 0),
		"not canonical": unordered,
		"unknown":       appendString(nil, "ssh-\x1b[31mred"),
		"too long":      appendString(appendString(nil, "ssh-ed25519"), make([]byte, MaxKeyBlob)),
		"alias":         appendString(appendString(nil, "rsa-sha2-512"), []byte{3}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKey(bad)
			wantError(t, err)
		})
	}
	for _, whole := range [][]byte{blob, cert} {
		for n := range whole {
			if _, err := ParseKey(whole[:n]); err == nil {
				t.Fatalf("parsed %d of %d bytes", n, len(whole))
			}
		}
	}
}

func TestParseKeyLine(t *testing.T) {
	good := keyOf(t, newEd25519(t)).String()
	text := strings.Fields(good)[1]
	other := base64.StdEncoding.EncodeToString(keyOf(t, newRSA(t)).Blob())
	for _, c := range []struct{ name, line, comment, err string }{
		{"plain", good, "", ""},
		{"comment", " \t" + good + "\t a  b \r\n", "a  b", ""},
		{"empty", "", "", "neither"},
		{"one word", "ssh-ed25519", "", "neither"},
		{"options", `no-pty ` + good, "", "base64"},
		{"two lines", good + "\n" + good, "", "more than one line"},
		{"comment first", "# x\n" + good, "", "more than one line"},
		{"other type", "ssh-ed25519 " + other, "", "is of type ssh-rsa"},
		{"escape", "\x1b[31m " + text, "", `\x1b`},
		{"broken", good[:len(good)-1], "", "base64"},
		{"loose bits", "ssh-ed25519 AAAAB", "", "base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, comment, err := ParseKeyLine([]byte(c.line))
			if c.err != "" {
				wantError(t, err, "bad key", c.err)
				return
			}
			if err != nil || k.String() != good || comment != c.comment {
				t.Errorf("got %v, %q, %v", k, comment, err)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	for _, k := range software(f) {
		f.Add(keyOf(f, k).Blob())
	}
	f.Add(dsaBlob())
	f.Add(newToken(f, ssh.KeyAlgoSKED25519).key.Blob())
	f.Add(certify(f, newEd25519(f), newEd25519(f), func(c *ssh.Certificate) {
		c.CriticalOptions = map[string]string{"force-command": "x"}
	}).Blob())
	f.Fuzz(func(t *testing.T, blob []byte) {
		k, err := ParseKey(blob)
		if err != nil {
			wantError(t, err)
			return
		}
		_ = CheckAlgorithm(k)
		if !bytes.Equal(k.Blob(), blob) || k.Fingerprint() == "" || k.Plain().IsCert() {
			t.Fatalf("%x became %s", blob, k)
		}
		again, _, err := ParseKeyLine([]byte(k.String()))
		if err != nil || !again.Equal(k) {
			t.Fatalf("%s is not read back: %v", k, err)
		}
	})
}
