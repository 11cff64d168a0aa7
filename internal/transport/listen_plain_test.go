//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The path of a socket for everybody has the rules of one with a login, and a
// mode of its own.
func TestListenPlainUnix(t *testing.T) {
	noNewFiles(t)
	path := filepath.Join(socketDir(t), "s")
	l, err := ListenPlainUnix(path, 0o666, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(path); err != nil || fi.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("socket: %v, %v", fi, err)
	}
	if l.Addr().String() != path || l.String() != "unix:"+path {
		t.Errorf("address %v, %s", l.Addr(), l)
	}
	if _, err := ListenPlainUnix(path, 0, -1, nil); !isInUse(err) {
		t.Errorf("twice: %v", err)
	}
	if _, err := ListenUnix(path, UnixOptions{}); !isInUse(err) {
		t.Errorf("with a login, beside it: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, filepath.Dir(path)); got != "" {
		t.Errorf("files afterwards: %s", got)
	}
	if _, err := ListenPlainUnix("relative", 0, -1, nil); err == nil {
		t.Error("a relative path")
	}
}

// A socket has its group before its mode, and both before it is at its place: at
// no moment can members of another group connect.
func TestPathSocketGroup(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	gid := os.Getegid()
	if os.Geteuid() == 0 {
		gid++ // others may give it only to groups of their own
	}
	l, err := ListenPlainUnix(path, 0o660, gid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if fi, err := os.Lstat(path); err != nil || fi.Mode() != fs.ModeSocket|0o660 || groupOf(fi) != gid {
		t.Errorf("at its place: %v, %v", fi, err)
	}

	// A place that cannot be had leaves the socket as it is just before the rename.
	s := &pathSocket{path: filepath.Dir(path)}
	temp := path + spare
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// Linux takes the set-user-ID bit away when the group is set, and not when the mode is.
	who := access{fs.ModeSetuid | 0o660, gid}
	if runtime.GOOS != "linux" {
		who.mode = 0o660
	}
	if err := s.place(temp, who); err == nil {
		t.Fatal("it took the place of a directory")
	}
	if fi, err := os.Lstat(temp); err != nil || fi.Mode() != fs.ModeSocket|who.mode || groupOf(fi) != gid {
		t.Errorf("before it is at its place: %v, %v, want %v", fi.Mode(), err, who)
	}
}

func groupOf(fi fs.FileInfo) int { return int(fi.Sys().(*syscall.Stat_t).Gid) }

func isInUse(err error) bool {
	_, ok := errors.AsType[*InUseError](err)
	return ok
}

func TestPeer(t *testing.T) {
	unix, err := ListenPlainUnix(filepath.Join(socketDir(t), "s"), 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	uid := "uid=" + strconv.Itoa(os.Geteuid())
	if addr, source := peerOf(t, unix); source != uid || addr.(PeerAddr).UID != os.Geteuid() {
		t.Errorf("%v, %s", addr, source)
	}
	for listen, want := range map[string]string{"127.0.0.1:0": "127.0.0.1/32", "[::1]:0": "::/64", ":0": "127.0.0.1/32"} {
		tcp, err := ListenPlainTCP(t.Context(), listen, nil)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // a container without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		if addr, source := peerOf(t, tcp); source != want || addr.Network() != "tcp" {
			t.Errorf("%s: %v, %s", listen, addr, source)
		}
	}
}

// peerOf connects to l, to IPv4 if it listens everywhere.
func peerOf(t *testing.T, l *PlainListener) (net.Addr, string) {
	t.Helper()
	to := l.Addr().String()
	if host, port, err := net.SplitHostPort(to); err == nil && host == "::" {
		to = "127.0.0.1:" + port
	}
	c, err := net.Dial(l.Addr().Network(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	addr, source, err := Peer(accepted)
	if err != nil {
		t.Fatal(err)
	}
	return addr, source
}

// Connections that would take the last descriptors are reset.
func TestPlainListenerKeepsReserve(t *testing.T) {
	noNewFiles(t)
	l, err := ListenPlainTCP(context.Background(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.maxFD = 0
	refused, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	refused.SetDeadline(time.Now().Add(patience))
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if _, err := io.ReadAll(refused); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("over the limit: %v", err)
	}
	l.Close()
	if err := receive(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
