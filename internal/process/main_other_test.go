//go:build unix && !linux

package process

func leftovers() []string { return nil }

func intruderMain() int { return 1 }

func becomeRootMain([]string) int { return 1 }
