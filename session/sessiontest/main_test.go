package sessiontest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, executed again by one of them, another process on
// its network.
func TestMain(m *testing.M) {
	if dir := os.Getenv(otherVar); dir != "" {
		if err := runOther(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
