//go:build linux

// Package procfs reads the process table from /proc and signals what it read
// there without ever hitting another process that got the same pid meanwhile.
package procfs
