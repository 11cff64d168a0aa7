//go:build unix

package authorize

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/rexec/rex/internal/account"
	"github.com/rexec/rex/internal/auth"
)

// cached is a file that is read each time and parsed when it has changed. Its
// methods may be called concurrently.
type cached[T any] struct {
	key, path string // the one in the configuration
	limit     int64  // bytes
	parse     func([]byte) (T, error)

	mu    sync.Mutex
	known bool
	data  []byte
	value T
}

// get returns the value of the file as it is now. Any error is one of trust:
// nothing that depends on the file may be granted. Of no file it is the zero
// value.
func (c *cached[T]) get(system System) (T, error) {
	var none T
	if c == nil {
		return none, nil
	}
	data, err := system.ReadFile(c.path, c.limit)
	if err != nil {
		e := &FileError{Key: c.key, Path: c.path, Err: err}
		if unsafe, ok := errors.AsType[*account.UnsafeFileError](err); ok {
			e.Exposed = unsafe.Path
		}
		return none, e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && bytes.Equal(c.data, data) {
		return c.value, nil
	}
	value, err := c.parse(data)
	if err != nil {
		return none, &FileError{c.key, c.path, "", fmt.Errorf("%s: %w", c.path, err)}
	}
	c.known, c.data, c.value = true, data, value
	return value, nil
}

// parseAuthorities reads keys, one on a line. Unlike sshd, which passes over
// lines that it does not understand, it takes all or nothing.
func parseAuthorities(data []byte) ([]*auth.Key, error) {
	var keys []*auth.Key
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, err := auth.ParseKeyLine(line)
		if err == nil {
			err = auth.CheckAlgorithm(key)
		}
		if err == nil && key.IsCert() {
			err = fmt.Errorf("a certificate is no authority")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
