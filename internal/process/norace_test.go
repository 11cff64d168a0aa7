//go:build unix && !race

package process

func keeperArgv() []string { return []string{testBinary(), asKeeper} }
