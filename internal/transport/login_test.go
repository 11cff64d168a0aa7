//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/proto"
)

func TestLogin(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	for _, name := range []string{"", currentUser(), strconv.Itoa(os.Geteuid())} {
		c, err := DialUnix(t.Context(), l.path, name)
		if err != nil {
			t.Fatalf("as %q: %v", name, err)
		}
		got := receive(t, logins)
		if got.err != nil {
			t.Fatalf("as %q: %v", name, got.err)
		}
		want := name
		if want == "" {
			want = currentUser()
		}
		if got.conn.User() != want || got.conn.UID() != os.Geteuid() {
			t.Errorf("logged in as %q (uid %d), want %q", got.conn.User(), got.conn.UID(), want)
		}
		exchange(t, c, got.conn)
	}
}

// exchange sends bytes and ends both ways.
func exchange(t *testing.T, a, b Conn) {
	t.Helper()
	for _, p := range [][2]Conn{{a, b}, {b, a}} {
		go func() {
			p[0].Write([]byte("ping"))
			p[0].CloseWrite()
		}()
		got, err := io.ReadAll(p[1])
		if err != nil || string(got) != "ping" {
			t.Errorf("read %q, %v", got, err)
		}
	}
	a.Close()
	b.Close()
}

func TestLoginAddresses(t *testing.T) {
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c, err := DialUnix(t.Context(), l.path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := receive(t, logins).conn
	defer conn.Close()
	if got := conn.LocalAddr().String(); got != l.path {
		t.Errorf("local address %q, want %q", got, l.path)
	}
	if got := conn.RemoteAddr(); got.Network() != "unix" || !strings.HasPrefix(got.String(), "uid="+strconv.Itoa(os.Geteuid())) {
		t.Errorf("remote address %q", got)
	}
	if a, b := (PeerAddr{UID: 7}).String(), (PeerAddr{UID: 7, PID: 8}).String(); a != "uid=7" || b != "uid=7,pid=8" {
		t.Errorf("addresses %q, %q", a, b)
	}
}

// TestLoginByteByByte also has the session's first bytes right behind the
// login: none of them may get lost.
func TestLoginByteByByte(t *testing.T) {
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c := rawDial(t, l)
	frame := append(authFrame(t, currentUser()), "early"...)
	for i := range frame {
		if _, err := c.Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if res := readVerdict(t, c); res.Code != proto.AuthOK {
		t.Fatalf("verdict %v", res)
	}
	got := receive(t, logins)
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.conn.Close()
	c.CloseWrite()
	if b, err := io.ReadAll(got.conn); string(b) != "early" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestLoginRefused(t *testing.T) {
	ok := authFrame(t, currentUser())
	long := append([]byte{0, 0, 0, 0}, ok[4:]...)
	badVersion := bytes.Clone(ok)
	badVersion[5]++
	badMode, err := (&proto.Auth{Mode: proto.AuthNegotiate, User: currentUser(), Keys: [][]byte{[]byte("key")}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	garbage := append(bytes.Clone(ok), 'x')
	garbage[3]++
	otherUser := authFrame(t, "nobody")
	if u, err := user.Lookup("nobody"); err == nil && u.Uid == strconv.Itoa(os.Geteuid()) {
		otherUser = authFrame(t, "root")
	}
	tests := []struct {
		name  string
		frame []byte
		code  proto.AuthCode
		text  string
	}{
		{"zero length", long, proto.AuthDenied, "0 bytes"},
		{"oversized", []byte{0, 0, 0x80, 1}, proto.AuthDenied, "32769 bytes"},
		{"largest length", []byte{0xff, 0xff, 0xff, 0xff}, proto.AuthDenied, "bytes"},
		{"other version", badVersion, proto.AuthBadVersion, "version"},
		{"mode of keys", badMode, proto.AuthDenied, "no keys"},
		{"trailing garbage", garbage, proto.AuthDenied, "trailing"},
		{"http", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), proto.AuthDenied, "bytes"},
		{"ssh", []byte("SSH-2.0-OpenSSH_9.2\r\n"), proto.AuthDenied, "bytes"},
		{"other user", otherUser, proto.AuthDenied, "is not the one that connected"},
		{"no such user", authFrame(t, "no-such-user"), proto.AuthDenied, "is not the one that connected"},
		{"other number", authFrame(t, strconv.Itoa(os.Geteuid()+1)), proto.AuthDenied, "is not the one that connected"},
	}
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := rawDial(t, l)
			if _, err := c.Write(tt.frame); err != nil {
				t.Fatal(err)
			}
			res := readVerdict(t, c)
			if res.Code != tt.code || !strings.Contains(res.Text, tt.text) {
				t.Errorf("verdict %v %q, want %v %q", res.Code, res.Text, tt.code, tt.text)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the verdict: %d, %v", n, err)
			}
			c.Close()
			got := receive(t, logins)
			if e, ok := errors.AsType[*LoginError](got.err); !ok || e.Peer.(PeerAddr).UID != os.Geteuid() {
				t.Errorf("server's error %v", got.err)
			}
			if got.conn.User() != "" {
				t.Errorf("user %q", got.conn.User())
			}
			if _, err := got.conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after a refusal: %v", err)
			}
		})
	}
}

// TestLoginRefusedWhileSending has a client that sends more than the login
// before it reads: the verdict must reach it, and no reset overtake it.
func TestLoginRefusedWhileSending(t *testing.T) {
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c := rawDial(t, l)
	bulk := append(authFrame(t, "no-such-user"), make([]byte, drainBytes-1024)...)
	if _, err := c.Write(bulk); err != nil {
		t.Fatalf("writing: %v", err)
	}
	if res := readVerdict(t, c); res.Code != proto.AuthDenied {
		t.Errorf("verdict %v", res)
	}
	c.Close()
	receive(t, logins)
}

// TestLoginRefusedClientStays has a client that reads the verdict and does
// not go: the server does.
func TestLoginRefusedClientStays(t *testing.T) {
	l := listen(t, UnixOptions{})
	l.drain = 50 * time.Millisecond
	logins := serve(t, l)
	c := rawDial(t, l)
	c.Write(authFrame(t, "no-such-user"))
	if got := receive(t, logins); got.err == nil {
		t.Fatal("logged in")
	}
	readVerdict(t, c)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("the connection is still open")
	}
}

func TestLoginSilentClient(t *testing.T) {
	l := listen(t, UnixOptions{})
	for _, sent := range []int{0, 1, 4, 9} {
		c := rawDial(t, l)
		c.Write(authFrame(t, currentUser())[:sent])
		conn := accept(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		err := conn.Handshake(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d bytes: %v", sent, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("client reads %v", err)
		}
	}
}

func accept(t *testing.T, l *UnixListener) *UnixConn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*UnixConn)
}

func TestLoginClientGoes(t *testing.T) {
	l := listen(t, UnixOptions{})
	for _, sent := range []int{0, 1, 4, 9} {
		c := rawDial(t, l)
		c.Write(authFrame(t, currentUser())[:sent])
		c.Close()
		want := io.ErrUnexpectedEOF
		if sent == 0 {
			want = io.EOF
		}
		if err := accept(t, l).Handshake(t.Context()); !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v, want %v", sent, err, want)
		}
	}
}

func TestNothingBeforeLogin(t *testing.T) {
	l := listen(t, UnixOptions{})
	c := rawDial(t, l)
	conn := accept(t, l)
	c.Write(authFrame(t, currentUser()))
	if _, err := conn.Read(make([]byte, 1)); err != ErrNotAuthenticated {
		t.Errorf("Read: %v", err)
	}
	if _, err := conn.Write([]byte("x")); err != ErrNotAuthenticated {
		t.Errorf("Write: %v", err)
	}
	if err := conn.CloseWrite(); err != ErrNotAuthenticated {
		t.Errorf("CloseWrite: %v", err)
	}
	if err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := conn.Handshake(t.Context()); err == nil {
		t.Error("a second handshake succeeded")
	}
	if conn.User() != currentUser() {
		t.Errorf("user %q after a second handshake", conn.User())
	}
}

// TestHandshakeLeavesNoDeadline makes sure that what ends a login does not end
// the session.
func TestHandshakeLeavesNoDeadline(t *testing.T) {
	l := listen(t, UnixOptions{})
	c := rawDial(t, l)
	c.Write(authFrame(t, currentUser()))
	conn := accept(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	if err := conn.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	c.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("Read: %v", err)
	}
}

func TestCloseDuringHandshake(t *testing.T) {
	l := listen(t, UnixOptions{})
	rawDial(t, l)
	conn := accept(t, l)
	done := make(chan error, 1)
	go func() { done <- conn.Handshake(t.Context()) }()
	conn.Close()
	if err := receive(t, done); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Handshake: %v", err)
	}
}

func TestCloseUnblocks(t *testing.T) {
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c, err := DialUnix(t.Context(), l.path, "")
	if err != nil {
		t.Fatal(err)
	}
	server := receive(t, logins).conn
	for _, side := range []Conn{c, server} {
		ended := make(chan error, 2)
		go func() {
			_, err := side.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			var err error
			for err == nil {
				_, err = side.Write(make([]byte, 1<<20))
			}
			ended <- err
		}()
		side.Close()
		side.Close()
		for range 2 {
			if err := receive(t, ended); err == nil {
				t.Error("no error after Close")
			}
		}
	}
}

func TestAccounts(t *testing.T) {
	known := map[string]string{"alice": "1000", "toor": "0", "1001": "1000"}
	a := accounts{
		byName: func(name string) (*user.User, error) {
			if id, ok := known[name]; ok {
				return &user.User{Username: name, Uid: id}, nil
			}
			return nil, user.UnknownUserError(name)
		},
		byID: func(uid string) (*user.User, error) {
			switch uid {
			case "1000":
				return &user.User{Username: "alice", Uid: uid}, nil
			case "1002":
				return &user.User{Username: `WORK\bob`, Uid: uid}, nil
			}
			return nil, user.UnknownUserIdError(0)
		},
	}
	for _, tt := range []struct {
		name string
		uid  int
		want bool
	}{
		{"alice", 1000, true},
		{"alice", 1001, false},
		{"alice", 0, false},
		{"toor", 0, true},
		{"1000", 1000, true},  // no account of that name: the number itself
		{"1001", 1001, false}, // an account of that name, and another's
		{"1001", 1000, true},
		{"01000", 1000, false},
		{"bob", 1000, false},
		{"", 0, false},
	} {
		if got := a.has(tt.name, tt.uid); got != tt.want {
			t.Errorf("has(%q, %d) = %v", tt.name, tt.uid, got)
		}
	}
	for uid, want := range map[int]string{1000: "alice", 1002: "1002", 4711: "4711"} {
		if got := a.name(uid); got != want {
			t.Errorf("name(%d) = %q, want %q", uid, got, want)
		}
	}
}
