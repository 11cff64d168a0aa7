//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/auth"
)

// What the log says of a login with several keys.
func TestDenied(t *testing.T) {
	a, b := newIdentity(t).Key(), newIdentity(t).Key()
	denied, long := errors.New("not in allow_users"), errors.New(strings.Repeat("x", 9*auth.MaxText))
	for name, c := range map[string]struct {
		keys     []refusedKey
		why, key string
	}{
		"one":      {[]refusedKey{{a, denied}}, "key " + a.Fingerprint() + ": not in allow_users", a.Fingerprint()},
		"the same": {[]refusedKey{{a, denied}, {b, denied}, {a, denied}}, "not in allow_users", a.Fingerprint() + "," + b.Fingerprint()},
		"each": {
			[]refusedKey{{a, denied}, {b, errors.New("\x1b[31mno")}},
			"key " + a.Fingerprint() + ": not in allow_users; key " + b.Fingerprint() + `: \x1b[31mno`, a.Fingerprint() + "," + b.Fingerprint(),
		},
		"none": {[]refusedKey{{nil, denied}}, "a key that is none: not in allow_users", ""},
		"long": {[]refusedKey{{nil, long}, {a, long}}, printable(long.Error()), a.Fingerprint()},
	} {
		e := &deniedError{user: "u\n", keys: c.keys}
		got := fmt.Sprint((&LoginError{Err: e}).LogAttrs())
		if want := fmt.Sprint([]string{`user=u\n`, "key=" + c.key, "err=" + c.why}); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if want := `user u\n: ` + c.why; e.Error() != want {
			t.Errorf("%s: %v", name, e)
		}
	}
	if errors.Is((&deniedError{}).by(a, io.EOF), io.EOF) {
		t.Error("a file of the server's is taken for the connection")
	}
	if got := fmt.Sprint((&LoginError{Err: denied}).LogAttrs()); got != "[err=not in allow_users]" {
		t.Error(got)
	}
}
