//go:build testnet

package testnet

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func env(value string) func(string) string {
	return func(name string) string {
		if name != variable {
			return ""
		}
		return value
	}
}

func TestSplit(t *testing.T) {
	for value, want := range map[string][3]string{
		"/tmp/nets:mynet:web1":  {"/tmp/nets", "mynet", "web1"},
		"/tmp/a:b:mynet:α":      {"/tmp/a:b", "mynet", "α"},
		"relative:mynet:laptop": {"relative", "mynet", "laptop"},
	} {
		if dir, network, host, err := split(value); [3]string{dir, network, host} != want || err != nil {
			t.Errorf("%q: %q, %q, %q, %v", value, dir, network, host, err)
		}
	}
	for _, value := range []string{"web1", ":", "::", "mynet:web1", ":mynet:web1", "/tmp/nets::web1", "/tmp/nets:mynet:", "/tmp/nets:my net:web1"} {
		if dir, network, host, err := split(value); err == nil {
			t.Errorf("%q: %q, %q, %q", value, dir, network, host)
		}
	}
}

// Without the variable it is TCP; with a bad one nothing is dialed or listened on.
func TestEnvironment(t *testing.T) {
	if Dialer(env("")) != nil || Listener(env("")) != nil {
		t.Error("not TCP")
	}
	_, err := Dialer(env("nonsense"))(t.Context(), "tcp", "web1:1")
	if err == nil || !strings.Contains(err.Error(), "REX_TESTNET: it is directory:network:host") {
		t.Error(err)
	}
	if _, err := Listener(env("/no/such:mynet:web1"))(t.Context(), "tcp", ":1"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestDialAndListen(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listen, dial := Listener(env(dir+":mynet:web1")), Dialer(env(dir+":mynet:laptop"))
	for i, addr := range []string{":7390", "web1:7391", ":0"} { // all of one host, which is joined once
		l, err := listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if want := []string{"web1:7390", "web1:7391", "web1:1"}[i]; l.Addr().String() != want {
			t.Errorf("%v, want %s", l.Addr(), want)
		}
		near, err := dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil || near.LocalAddr().String() != far.RemoteAddr().String() || !strings.HasPrefix(far.RemoteAddr().String(), "laptop:4915") {
			t.Error(far.RemoteAddr(), err)
		}
		_, _ = near.Close(), far.Close()
	}
	for _, addr := range []string{"web2:1", "web1:x", "web1"} {
		if l, err := listen(t.Context(), "tcp", addr); err == nil {
			t.Errorf("%s: %v", addr, l.Addr())
		}
	}
	if _, err := dial(t.Context(), "tcp", "web1:1000"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	if _, err := dial(t.Context(), "tcp", "web2:7390"); !errors.As(err, new(*net.DNSError)) {
		t.Error(err)
	}
}
