package knownhosts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rexec/rex/internal/auth"
)

// maxHost bounds the name of a host in a file, in bytes: DNS has 253.
const maxHost = 255

// Add appends a line for a host and its plain key to a file, which it makes,
// for the user alone, if it is missing; likewise its directory. With hash the
// name cannot be read from the file. A name that would mean something else in
// the file is refused; [Add] can be told a HostKeyAlias as a host at port 22.
//
// The line is one write, so that Adds beside each other, also of other
// processes, never mix.
func Add(file, host string, port int, key *auth.Key, hash bool) error {
	if err := checkHost(host, port); err != nil {
		return err
	}
	if key == nil || key.IsCert() {
		return errors.New("only plain host keys can be added")
	}
	name, _ := lookup(host, port, "")
	if hash {
		name = hashName(newSalt(), name)
	}
	return appendLine(file, name+" "+key.String()+"\n")
}

// checkHost refuses names that are patterns, lists, markers, comments or more
// than one field to a reader of the file.
func checkHost(host string, port int) error {
	switch {
	case port < 1 || port > 65535:
		return fmt.Errorf("port %d cannot be in a known_hosts file", port)
	case host == "" || len(host) > maxHost || !utf8.ValidString(host):
		return fmt.Errorf("host name %.64q cannot be in a known_hosts file", host)
	}
	for _, r := range host {
		if strings.ContainsRune("@?*#[]|'\"`\\,!", r) || !unicode.IsPrint(r) || unicode.IsSpace(r) {
			return fmt.Errorf("host name %.64q cannot be in a known_hosts file: it has %q", host, r)
		}
	}
	return nil
}

func appendLine(file, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("known hosts: %w", e)
		}
	}()
	cut, err := endsInLine(f)
	if err == nil {
		if cut {
			text = "\n" + text
		}
		_, err = f.WriteString(text)
	}
	if err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	return nil
}

// endsInLine reports whether the last line of a file has no newline, so that
// what is appended would become part of it.
func endsInLine(f *os.File) (bool, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return false, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}
