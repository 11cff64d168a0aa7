//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

const hintServiceKeys = "the keys of a service are name, command, user, directory, environment, pty, max_instances, max_per_source, idle, timeout, " +
	"max_input, max_output, linger_idle, linger, listen, mode, group, public, login, allow_users, allow_groups and only_keys"

const hintKeys = "the keys are listen, max_commands, drain, log_level, tree, host_keys, authorized_keys, allow_users, allow_groups, " +
	"deny_users, deny_groups, permit_root, trusted_user_ca_keys, revoked_keys, strict_modes, permit_user_environment, " +
	"sshd_policy_acknowledged and tables [[service]]"

// decodeError turns an error of the TOML decoder into one that shows the place.
func decodeError(name string, err error) error {
	if e, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(e.Errors) > 0 {
		line, column := e.Errors[0].Position()
		hint := hintKeys
		if key := e.Errors[0].Key(); len(key) > 1 && key[0] == "service" {
			hint = hintServiceKeys
		}
		return usageErrorf(hint, "%s:%d:%d: unknown key %s\n%s", name, line, column,
			strings.Join(e.Errors[0].Key(), "."), strings.ReplaceAll(e.String(), "~ missing table", "~ unknown table, the only ones are [[service]]"))
	}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := e.Position()
		text := e.String()
		key := strings.Join(e.Key(), ".")
		// The decoder names Go's types.
		types := regexp.MustCompile(`cannot decode TOML ([a-z -]+) into .+`)
		text = types.ReplaceAllString(text, "$1, not "+strings.ReplaceAll(wanted(key), "$", "$$"))
		if key != "" {
			key += ": "
		}
		return usageErrorf("", "%s:%d:%d: %sbad value or syntax\n%s", name, line, column, key, text)
	}
	return usageErrorf("", "%s: %w", name, err)
}

// A place is where a key of the configuration stands: at the top with table 0,
// or in that [[service]], from 1.
type place struct {
	table int
	key   string
}

var serviceHeader = regexp.MustCompile(`^\s*\[{1,2}\s*["']?service["']?\s*\]`)

// find returns the line of the key, from 1, where its name begins, and what is
// there. Without one in a service it is the table's first line; 0 is none.
func (p place) find(doc []byte) (number int, line string, start int, found string) {
	key := regexp.MustCompile(`^\s*(?:\[\s*service\s*\.\s*)?["']?` + regexp.QuoteMeta(p.key) + `["']?\s*[=.\]]`)
	table := 0
	for i, text := range strings.Split(string(doc), "\n") {
		text = strings.TrimSuffix(text, "\r")
		if serviceHeader.MatchString(text) {
			if table++; table == p.table {
				number, line, start, found = i+1, text, strings.Index(text, "["), strings.TrimSpace(text)
			}
		}
		if table == p.table && key.MatchString(text) {
			return i + 1, text, strings.Index(text, p.key), p.key
		}
	}
	return number, line, start, found
}

// valueError is about the value of a key of doc.
func valueError(name string, doc []byte, at place, hint string, err error) error {
	n, line, start, found := at.find(doc)
	if n == 0 {
		return usageErrorf(hint, "%s: %s: %w", name, at.key, err)
	}
	number := fmt.Sprint(n)
	indent := strings.Repeat(" ", utf8.RuneCountInString(line[:start]))
	return usageErrorf(hint, "%s:%d: %s: %w\n%s| %s\n%*s| %s%s", name, n, at.key, err,
		number, line, len(number), "", indent, strings.Repeat("~", utf8.RuneCountInString(found)))
}
