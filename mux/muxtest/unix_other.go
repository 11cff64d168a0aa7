//go:build !unix

package muxtest

func unixNetworks() []Network { return nil }
