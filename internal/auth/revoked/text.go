package revoked

import (
	"bytes"
	"fmt"

	"github.com/rexec/rex/internal/auth"
)

// parseText reads a key a line. Comments and empty lines are skipped; any other
// line that is no key is an error, as it is to OpenSSH: it could be meant to
// revoke one.
func (l *List) parseText(data []byte) error {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.Trim(line, " \t\r\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		l.keys[string(key.Plain().Blob())] = true
	}
	return nil
}

func parseKey(line []byte) (*auth.Key, error) {
	key, _, err := auth.ParseKeyLine(line)
	switch {
	case err != nil:
		return nil, errKey // err may quote the line
	case string(bytes.Fields(line)[0]) != key.Type():
		return nil, errType
	}
	return key, nil
}
