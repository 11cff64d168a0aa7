package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// encryptedPKCS8 is the type of a PEM block for [parsePKCS8].
const encryptedPKCS8 = "ENCRYPTED PRIVATE KEY"

// maxIterations bounds what a file can have this machine compute, to seconds.
const maxIterations = 5_000_000

// What is in such a file: RFC 5958, section 3, and RFC 8018, appendix A.
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params  struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfOf is the hash of a pseudo-random function; nil if it is not known.
func prfOf(oid asn1.ObjectIdentifier) func() hash.Hash {
	switch oid.String() {
	case "", "1.2.840.113549.2.7": // the default
		return sha1.New
	case "1.2.840.113549.2.9":
		return sha256.New
	case "1.2.840.113549.2.10":
		return sha512.New384
	case "1.2.840.113549.2.11":
		return sha512.New
	}
	return nil
}

// keySizeOf is the size of the key of AES in CBC mode; 0 for any other cipher.
func keySizeOf(oid asn1.ObjectIdentifier) int {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16
	case "2.16.840.1.101.3.4.1.22":
		return 24
	case "2.16.840.1.101.3.4.1.42":
		return 32
	}
	return 0
}

// parsePKCS8 opens an encrypted key as ssh-keygen -m PKCS8 and openssl pkcs8
// write it, with PBES2 and AES. What does not become a key is taken for the work
// of a wrong passphrase, [ErrPassphrase]: nothing tells it from damage.
func parsePKCS8(der, passphrase []byte) (any, error) {
	var file encryptedKey
	var scheme pbes2Params
	var derive pbkdf2Params
	var iv []byte
	switch {
	case !unmarshalAll(der, &file):
		return nil, errors.New("damaged PKCS#8")
	case !file.Algorithm.Algorithm.Equal(oidPBES2) || !unmarshalAll(file.Algorithm.Parameters.FullBytes, &scheme) || !scheme.KDF.Algorithm.Equal(oidPBKDF2):
		return nil, errors.New("PKCS#8 that is encrypted in an old or rare way (ssh-keygen -p converts it)")
	case !unmarshalAll(scheme.KDF.Parameters.FullBytes, &derive) || !unmarshalAll(scheme.Cipher.Parameters.FullBytes, &iv):
		return nil, errors.New("damaged PKCS#8")
	}
	prf, size := prfOf(derive.PRF.Algorithm), keySizeOf(scheme.Cipher.Algorithm)
	switch {
	case prf == nil || size == 0 || derive.KeyLength != 0 && derive.KeyLength != size:
		return nil, errors.New("PKCS#8 that is encrypted in a rare way (ssh-keygen -p converts it)")
	case derive.Iterations > maxIterations:
		return nil, fmt.Errorf("PKCS#8 that asks for %d rounds, more than %d", derive.Iterations, maxIterations)
	case derive.Iterations < 1 || len(iv) != aes.BlockSize || len(file.Data)%aes.BlockSize != 0 || len(file.Data) == 0:
		return nil, errors.New("damaged PKCS#8")
	}
	key, err := pbkdf2.Key(prf, string(passphrase), derive.Salt, derive.Iterations, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(file.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, file.Data)
	if raw, err := x509.ParsePKCS8PrivateKey(unpad(plain)); err == nil {
		return raw, nil
	}
	return nil, ErrPassphrase
}

// unmarshalAll reads a value that must be all of der.
func unmarshalAll(der []byte, value any) bool {
	rest, err := asn1.Unmarshal(der, value)
	return err == nil && len(rest) == 0
}

// unpad takes the padding of RFC 8018, section 6.1.1, off; nil if it is wrong.
func unpad(b []byte) []byte {
	n := int(b[len(b)-1])
	if n == 0 || n > aes.BlockSize || !bytes.HasSuffix(b, bytes.Repeat(b[len(b)-1:], n)) {
		return nil
	}
	return b[:len(b)-n]
}
