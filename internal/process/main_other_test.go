//go:build unix && !linux

package process

func leftovers() []string { return nil }
