//go:build unix && race

package process

// keeperArgv: the race detector sleeps for a second at the end of a process,
// which is too long for keepers by the hundred.
func keeperArgv() []string {
	return []string{"env", "GORACE=atexit_sleep_ms=0", testBinary(), asKeeper}
}
