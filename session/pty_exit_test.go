//go:build unix

package session_test

import (
	"strings"
	"testing"

	"github.com/rexec/rex/session"
)

// A command that closes its terminal before it exits, as coreutils do, is not
// hung up on its way out: neither by the end of its output nor by the client's
// answer to it.
func TestTerminalClosedBeforeExit(t *testing.T) {
	link := newLink(t)
	for range amount(50) {
		cmd := link.Shell("stty -echo; exec cat")
		cmd.Term = &session.Term{Name: "dumb", Rows: 24, Cols: 80}
		cmd.Stdin = strings.NewReader("x\n")
		if _, err := finishOutput(t, cmd); err != nil {
			t.Fatal(err)
		}
	}
}
