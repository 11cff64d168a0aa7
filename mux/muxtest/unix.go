//go:build unix

package muxtest

import (
	"net"
	"os"
	"syscall"
	"testing"
)

func unixNetworks() []Network { return []Network{{"unix", unixPair}} }

func unixPair(t testing.TB) (Conn, Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	return closedAfter(t, unixConn(t, fds[0]), unixConn(t, fds[1]))
}

func unixConn(t testing.TB, fd int) *net.UnixConn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socketpair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}
