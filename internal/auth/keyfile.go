package auth

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxKeyFile bounds the file of a key or certificate, in bytes.
const maxKeyFile = 1 << 20

// readKeyFile reads a regular file, of which check has a say first. What is
// checked is what is read, whatever happens to the path meanwhile.
func readKeyFile(path string, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNoWait, 0)
	if err != nil {
		return nil, keyFileError(path, err)
	}
	defer f.Close()
	data, err := readChecked(f, check)
	if err != nil {
		return nil, keyFileError(path, err)
	}
	return data, nil
}

func readChecked(f *os.File, check func(fs.FileInfo) error) ([]byte, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	if err := check(fi); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("longer than %d bytes", maxKeyFile)
	}
	return data, err
}

// anyFile is the check for files that hold no secret.
func anyFile(fs.FileInfo) error { return nil }

// LoadPublicKey reads a .pub file: one key or certificate on its first line that
// is not empty or a comment. The error is a *[KeyFileError].
func LoadPublicKey(path string) (*Key, error) {
	data, err := readKeyFile(path, anyFile)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		k, _, err := ParseKeyLine(line)
		if err != nil {
			return nil, keyFileError(path, err)
		}
		return k, nil
	}
	return nil, badKeyFile(path, "there is no key in it")
}

// LoadCertificate reads a file that holds a certificate, as ssh-keygen -s makes
// it. Neither its authority nor its dates are looked at. The error is a
// *[KeyFileError].
func LoadCertificate(path string) (*Key, error) {
	k, err := LoadPublicKey(path)
	switch {
	case err != nil:
		return nil, err
	case !k.IsCert():
		return nil, badKeyFile(path, "this is a key and not a certificate")
	}
	return k, nil
}
