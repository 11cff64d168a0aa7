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

const hintKeys = "the keys are listen, max_commands, drain, log_level, tree, host_keys, authorized_keys, allow_users, allow_groups, " +
	"deny_users, deny_groups, permit_root, trusted_user_ca_keys, revoked_keys, strict_modes, permit_user_environment and " +
	"sshd_policy_acknowledged"

// decodeError turns an error of the TOML decoder into one that shows the place.
func decodeError(name string, err error) error {
	if e, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(e.Errors) > 0 {
		line, column := e.Errors[0].Position()
		return usageErrorf(hintKeys, "%s:%d:%d: unknown key %s\n%s", name, line, column,
			strings.Join(e.Errors[0].Key(), "."), strings.ReplaceAll(e.String(), "~ missing table", "~ unknown table, all keys are at the top"))
	}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := e.Position()
		text := e.String()
		key := strings.Join(e.Key(), ".")
		// The decoder names Go's types.
		types := regexp.MustCompile(`cannot decode TOML ([a-z -]+) into .* of type \S+`)
		text = types.ReplaceAllString(text, "$1, not "+strings.ReplaceAll(wanted(key), "$", "$$"))
		if key != "" {
			key += ": "
		}
		return usageErrorf("", "%s:%d:%d: %sbad value or syntax\n%s", name, line, column, key, text)
	}
	return usageErrorf("", "%s: %w", name, err)
}

// valueError is about the value of a key that is at the top level of doc.
func valueError(name string, doc []byte, key, hint string, err error) error {
	pattern := regexp.MustCompile(`^\s*["']?` + regexp.QuoteMeta(key) + `["']?\s*=`)
	for i, line := range strings.Split(string(doc), "\n") {
		if !pattern.MatchString(line) {
			continue
		}
		line = strings.TrimSuffix(line, "\r")
		number := fmt.Sprint(i + 1)
		start := strings.Index(line, key)
		indent := strings.Repeat(" ", utf8.RuneCountInString(line[:start]))
		return usageErrorf(hint, "%s:%d: %s: %w\n%s| %s\n%*s| %s%s", name, i+1, key, err,
			number, line, len(number), "", indent, strings.Repeat("~", len(key)))
	}
	return usageErrorf(hint, "%s: %s: %w", name, key, err)
}
