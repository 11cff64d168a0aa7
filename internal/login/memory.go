package login

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// A memory is the file of keys that worked: a line for each host and user,
//
//	[host]:port user type fingerprint
//
// the newest last. It is nothing but a guess at which key to try first, so that
// everything that goes wrong with it is as if it were empty.
type memory struct {
	file string // empty remembers nothing
}

// Bounds of the file, in lines and bytes.
const (
	maxMemories   = 1000
	maxMemoryFile = 1 << 20
)

func openMemory(c *Config) memory {
	if c.CacheDir == "" {
		return memory{}
	}
	return memory{file: filepath.Join(c.CacheDir, "keys")}
}

// place is what a line begins with.
func (c *Config) place() string {
	return fmt.Sprintf("[%s]:%d %s ", strings.ToLower(c.Host), c.Port, c.User)
}

func mark(k *auth.Key) string { return k.Type() + " " + k.Fingerprint() }

// recall finds the signer whose key worked last, nil if it is not there.
func (m memory) recall(c *Config, signers []auth.Signer) auth.Signer {
	lines, err := m.read()
	if err != nil {
		return nil
	}
	for _, line := range slices.Backward(lines) {
		if known, ok := strings.CutPrefix(line, c.place()); ok {
			i := slices.IndexFunc(signers, func(s auth.Signer) bool { return mark(s.Key()) == known })
			if i < 0 {
				return nil
			}
			return signers[i]
		}
	}
	return nil
}

// remember puts a key that worked in the place of an older one; nil forgets.
func (m memory) remember(c *Config, k *auth.Key) error {
	lines, err := m.read()
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, c.place()) })
	if k != nil {
		line := c.place() + mark(k)
		if slices.Contains(lines, line) && len(rest) == len(lines)-1 {
			return nil
		}
		rest = append(rest, line)
	} else if len(rest) == len(lines) {
		return nil
	}
	return m.write(rest[max(0, len(rest)-maxMemories):])
}

func (m memory) read() ([]string, error) {
	if m.file == "" {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMemoryFile))
	if err != nil {
		return nil, err
	}
	return parseMemory(data), nil
}

// parseMemory returns the lines that have all their fields.
func parseMemory(data []byte) (lines []string) {
	for line := range bytes.Lines(data) {
		text, whole := strings.CutSuffix(string(line), "\n")
		if whole && len(strings.Split(text, " ")) == 4 {
			lines = append(lines, text)
		}
	}
	return lines[max(0, len(lines)-maxMemories):]
}

// write replaces the file as a whole. Of two programs that do so at once, one
// is forgotten.
func (m memory) write(lines []string) error {
	dir := filepath.Dir(m.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".keys-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), m.file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
