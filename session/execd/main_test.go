//go:build unix

package execd

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, re-executed, the keeper of a command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "session-keeper" {
		os.Exit(KeeperMain())
	}
	goleak.VerifyTestMain(m)
}
