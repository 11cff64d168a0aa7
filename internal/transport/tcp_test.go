//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/proto"
)

// newIdentity makes a key to log in with.
func newIdentity(t testing.TB) auth.Signer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	if _, err := auth.CreateHostKey(path); err != nil {
		t.Fatal(err)
	}
	s, err := auth.OpenIdentity(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// admitted is an Authorizer that knows which keys which user has.
type admitted struct {
	mu      sync.Mutex
	keys    map[string][]*auth.Key
	grant   Grant
	asked   atomic.Int32
	attempt *Attempt // the last one
}

func admit(user string, signers ...auth.Signer) *admitted {
	a := &admitted{keys: make(map[string][]*auth.Key), grant: Grant{Login: "the login of " + user}}
	for _, s := range signers {
		a.keys[user] = append(a.keys[user], s.Key())
	}
	return a
}

func (a *admitted) Authorize(_ context.Context, at *Attempt) (*Grant, error) {
	a.asked.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempt = at
	for _, key := range a.keys[at.User] {
		if key.Equal(at.Key) {
			g := a.grant
			return &g, nil
		}
	}
	return nil, errors.New("not in the list")
}

// A tcpServer is a listener whose logins are collected.
type tcpServer struct {
	*TCPListener
	key    *auth.HostKey
	logins chan tcpLogin
	port   int
}

type tcpLogin struct {
	conn *ServerConn
	err  error
}

// serveTCP listens; a grace replaces that of a login.
func serveTCP(t testing.TB, a Authorizer, grace ...time.Duration) *tcpServer {
	t.Helper()
	key, err := auth.CreateHostKey(filepath.Join(t.TempDir(), "host_key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ListenTCP(t.Context(), "127.0.0.1:0", &TCPListenOptions{HostKeys: []*auth.HostKey{key}, Authorizer: a})
	if err != nil {
		t.Fatal(err)
	}
	if len(grace) > 0 {
		l.grace = grace[0]
	}
	s := &tcpServer{TCPListener: l, key: key, logins: make(chan tcpLogin, 64), port: l.Addr().(*net.TCPAddr).Port}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				conn := c.(*ServerConn)
				s.logins <- tcpLogin{conn, conn.Handshake(context.Background())}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		close(s.logins)
		for left := range s.logins {
			left.conn.Close()
		}
	})
	return s
}

// trust accepts this host only.
func (s *tcpServer) trust(_ context.Context, p *HostProof) error {
	if !p.Key.Equal(s.key.Key()) {
		return errors.New("another host")
	}
	return nil
}

func (s *tcpServer) options(signers ...auth.Signer) *TCPOptions {
	return &TCPOptions{User: "alice", VerifyHost: s.trust, Signers: signers}
}

func (s *tcpServer) dial(t testing.TB, opts *TCPOptions) (*TCPConn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := DialTCP(ctx, "127.0.0.1", s.port, opts)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (s *tcpServer) login(t testing.TB) tcpLogin {
	t.Helper()
	select {
	case got := <-s.logins:
		return got
	case <-time.After(patience):
		t.Fatal("nobody logged in")
		return tcpLogin{}
	}
}

func TestTCPLogin(t *testing.T) {
	one, two, three := newIdentity(t), newIdentity(t), newIdentity(t)
	for name, c := range map[string]struct {
		opts  func(s *tcpServer) *TCPOptions
		key   auth.Signer
		asked int32
	}{
		"one key":     {func(s *tcpServer) *TCPOptions { return s.options(one) }, one, 1},
		"negotiated":  {func(s *tcpServer) *TCPOptions { return s.options(two, three, one) }, one, 3},
		"the first":   {func(s *tcpServer) *TCPOptions { o := s.options(two, three); o.First = one; return o }, one, 1},
		"the verdict": {func(s *tcpServer) *TCPOptions { o := s.options(one); o.AwaitVerdict = true; return o }, one, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := admit("alice", one)
			s := serveTCP(t, a)
			client, err := s.dial(t, c.opts(s))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Write([]byte("early")); err != nil {
				t.Fatal(err)
			}
			got := s.login(t)
			if got.err != nil {
				t.Fatal(got.err)
			}
			server := got.conn
			t.Cleanup(func() { server.Close() })
			if server.User() != "alice" || server.Login() != "the login of alice" || a.asked.Load() != c.asked {
				t.Errorf("user %q, login %v, %d keys looked at", server.User(), server.Login(), a.asked.Load())
			}
			if a.attempt.Remote.String() != server.RemoteAddr().String() || a.attempt.Local.String() != s.Addr().String() {
				t.Errorf("from %v to %v", a.attempt.Remote, a.attempt.Local)
			}
			if !client.Key.Equal(c.key.Key()) || !client.Host.Key.Equal(s.key.Key()) || client.RTT <= 0 {
				t.Errorf("client says %+v", client)
			}
			testDuplex(t, client, server, "early")
		})
	}
}

// testDuplex checks that bytes and ends pass both ways.
func testDuplex(t *testing.T, client *TCPConn, server *ServerConn, early string) {
	t.Helper()
	bulk := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := client.Write(bulk); err != nil {
			t.Errorf("client: %v", err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Errorf("client's end: %v", err)
		}
	})
	wg.Go(func() {
		got, err := io.ReadAll(server)
		if err != nil || string(got[:len(early)]) != early || !bytes.Equal(got[len(early):], bulk) {
			t.Errorf("server read %d bytes, %v", len(got), err)
		}
		if _, err := server.Write(bulk); err != nil {
			t.Errorf("server: %v", err)
		}
		if err := server.CloseWrite(); err != nil {
			t.Errorf("server's end: %v", err)
		}
	})
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, bulk) {
		t.Errorf("client read %d bytes, %v", len(got), err)
	}
	if err := client.Verdict(); err != nil {
		t.Errorf("verdict %v", err)
	}
	wg.Wait()
}

// grants is an Authorizer that grants everybody the same.
type grants struct{ grant *Grant }

func (g grants) Authorize(context.Context, *Attempt) (*Grant, error) { return g.grant, nil }

// Whatever is wrong with a login, the peer reads the same words, and the log
// knows more.
func TestTCPDenied(t *testing.T) {
	known, other := newIdentity(t), newIdentity(t)
	lists := admit("alice", known)
	for name, c := range map[string]struct {
		authorizer Authorizer
		user       string
		signers    []auth.Signer
		log        string
	}{
		"wrong key":    {lists, "alice", []auth.Signer{other}, "not in the list"},
		"wrong keys":   {lists, "alice", []auth.Signer{other, newIdentity(t)}, "not in the list"},
		"unknown user": {lists, "mallory", []auth.Signer{known}, "user mallory"},
		"forged":       {lists, "alice", []auth.Signer{forger{known}}, known.Key().Fingerprint()},
		"no grant":     {grants{}, "alice", []auth.Signer{known}, "nothing was granted"},
		"no grants":    {grants{}, "alice", []auth.Signer{known, other}, "nothing was granted"},
		"no hardware":  {grants{&Grant{VerificationRequired: true}}, "alice", []auth.Signer{known}, "verified its user"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTCP(t, c.authorizer)
			opts := s.options(c.signers...)
			opts.User = c.user
			client, err := s.dial(t, opts)
			if err == nil {
				err = client.Verdict()
			}
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok || refused.Code != proto.AuthDenied || refused.Text != deniedText {
				t.Errorf("the client reads %v", err)
			}
			if client != nil {
				defer client.Close()
			}
			if client != nil && ok {
				if _, err := client.Read(make([]byte, 1)); !errors.As(err, new(*RefusedError)) {
					t.Errorf("read after it: %v", err)
				}
				client.Close()
			}
			got := s.login(t)
			defer got.conn.Close()
			if _, ok := errors.AsType[*LoginError](got.err); !ok || !strings.Contains(got.err.Error(), c.log) {
				t.Errorf("the log reads %v", got.err)
			}
			if _, err := got.conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write after a refusal: %v", err)
			}
		})
	}
}

// TestTCPNothingBeforeLogin: an accepted connection is good for nothing before
// its handshake, of which it has one.
func TestTCPNothingBeforeLogin(t *testing.T) {
	signer := newIdentity(t)
	l, err := ListenTCP(t.Context(), "127.0.0.1:0", &TCPListenOptions{HostKeys: []*auth.HostKey{newHostKey(t)}, Authorizer: admit("alice", signer)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan error, 1)
	go func() { // ends with the connection
		c, err := DialTCP(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port, &TCPOptions{
			User: "alice", Signers: []auth.Signer{signer}, VerifyHost: func(context.Context, *HostProof) error { return nil },
		})
		if err == nil {
			_, _ = io.WriteString(c, "early")
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		dialed <- err
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := accepted.(*ServerConn)
	defer conn.Close()
	for name, do := range map[string]func() error{
		"Read":         func() error { _, err := conn.Read(make([]byte, 1)); return err },
		"Write":        func() error { _, err := conn.Write([]byte("x")); return err },
		"WriteBuffers": func() error { _, err := conn.WriteBuffers(&net.Buffers{[]byte("x")}); return err },
		"CloseWrite":   conn.CloseWrite,
	} {
		if err := do(); err != ErrNotAuthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if user, login := conn.User(), conn.Login(); user != "" || login != nil {
		t.Errorf("user %q, login %v", user, login)
	}
	if err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := conn.Handshake(t.Context()); !errors.As(err, new(*LoginError)) {
		t.Errorf("a second handshake: %v", err)
	}
	if user, login := conn.User(), conn.Login(); user != "alice" || login == nil {
		t.Errorf("user %q, login %v after a second handshake", user, login)
	}
	early := make([]byte, 5)
	if _, err := io.ReadFull(conn, early); err != nil || string(early) != "early" {
		t.Errorf("read %q, %v", early, err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := receive(t, dialed); err != nil {
		t.Errorf("the client: %v", err)
	}
}

// forger signs something else.
type forger struct{ auth.Signer }

func (f forger) Sign(ctx context.Context, s *auth.Statement) ([]byte, error) {
	other := *s
	other.User = "bob"
	return f.Signer.Sign(ctx, &other)
}

// The client decides on the host before it says anything.
func TestTCPHostRefused(t *testing.T) {
	s := serveTCP(t, admit("alice"))
	signer := &countingSigner{Signer: newIdentity(t)}
	no := errors.New("I do not know this host")
	opts := s.options(signer)
	opts.VerifyHost = func(_ context.Context, p *HostProof) error {
		if !p.Key.Equal(s.key.Key()) || p.Cert != nil {
			t.Errorf("proof of %v, %v", p.Key, p.Cert)
		}
		return no
	}
	if _, err := s.dial(t, opts); err != no {
		t.Errorf("%v", err)
	}
	if got := s.login(t); got.err == nil {
		t.Error("the server took the login")
	}
	if signer.signed.Load() != 0 {
		t.Error("something was signed for a host that was refused")
	}
	opts.VerifyHost = nil
	if _, err := s.dial(t, opts); err == nil {
		t.Error("nobody decided on the host")
	}
}

type countingSigner struct {
	auth.Signer
	signed atomic.Int32
}

func (c *countingSigner) Sign(ctx context.Context, s *auth.Statement) ([]byte, error) {
	c.signed.Add(1)
	return c.Signer.Sign(ctx, s)
}

func TestTCPNoKeys(t *testing.T) {
	s := serveTCP(t, admit("alice"))
	if _, err := s.dial(t, s.options()); !errors.Is(err, ErrNoKeys) {
		t.Errorf("%v", err)
	}
	opts := s.options(newIdentity(t))
	opts.User = "-oProxyCommand=x"
	if _, err := s.dial(t, opts); err == nil {
		t.Error("a user that is an option")
	}
}

func TestTCPListenRefuses(t *testing.T) {
	key := newHostKey(t)
	for name, opts := range map[string]*TCPListenOptions{
		"no authorizer": {HostKeys: []*auth.HostKey{key}},
		"no host key":   {Authorizer: admit("alice")},
		"two of a type": {HostKeys: []*auth.HostKey{key, newHostKey(t)}, Authorizer: admit("alice")},
	} {
		if l, err := ListenTCP(t.Context(), "127.0.0.1:0", opts); err == nil {
			l.Close()
			t.Errorf("%s: it listens", name)
		}
	}
	s := serveTCP(t, admit("alice"))
	if l, err := ListenTCP(t.Context(), s.Addr().String(), &TCPListenOptions{HostKeys: []*auth.HostKey{key}, Authorizer: admit("alice")}); err == nil {
		l.Close()
		t.Error("two listen on one port")
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := network(addrPort(tcp).Addr()); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
