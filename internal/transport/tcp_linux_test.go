package transport

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Only a kernel that should have answered and did not is silent: not one that
// has nothing to say, nor one whose process does not read.
func TestJudgeSilence(t *testing.T) {
	for name, c := range map[string]struct {
		info   unix.TCPInfo
		silent bool
	}{
		"idle for days":          {unix.TCPInfo{Last_ack_recv: 1 << 31}, false},
		"just sent":              {unix.TCPInfo{Unacked: 3, Last_ack_recv: 20}, false},
		"slow":                   {unix.TCPInfo{Unacked: 3, Last_ack_recv: 44_000}, false},
		"gone":                   {unix.TCPInfo{Unacked: 3, Last_ack_recv: 45_001}, true},
		"stopped, answers":       {unix.TCPInfo{Notsent_bytes: 1 << 16, Last_ack_recv: 100_000}, false},
		"stopped, then gone":     {unix.TCPInfo{Notsent_bytes: 1 << 16, Probes: 3, Last_ack_recv: 100_000}, true},
		"keepalive probes, idle": {unix.TCPInfo{Probes: 3}, false},
	} {
		err := judgeSilence(&c.info)
		if _, ok := errors.AsType[*SilentPeerError](err); ok != c.silent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the kernel is told, and what it says of a connection that is well.
func TestTCPOptions(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer))
	client, err := s.dial(t, s.options(signer))
	if err != nil {
		t.Fatal(err)
	}
	got := s.login(t)
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.conn.Close()
	for name, conn := range map[string]net.Conn{"client": client.verdict.NetConn(), "server": got.conn.raw} {
		tcp := conn.(*net.TCPConn)
		for option, want := range map[int]int{
			unix.TCP_KEEPIDLE: 15, unix.TCP_KEEPINTVL: 10, unix.TCP_KEEPCNT: 3, unix.TCP_NODELAY: 1, unix.TCP_NOTSENT_LOWAT: notSent, unix.TCP_USER_TIMEOUT: 0,
		} {
			err := controlTCP(tcp, func(fd int) error {
				n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option)
				if n != want {
					t.Errorf("%s: option %d is %d, want %d", name, option, n, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if err := watcher(tcp)(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if rtt := roundTrip(tcp); rtt <= 0 || rtt > time.Second {
			t.Errorf("%s: round trip of %v", name, rtt)
		}
	}
	if watcher(tlsless{}) != nil {
		t.Error("somebody watches what is no TCP connection")
	}
	if got.conn.Window() != minWindow && got.conn.Window() > maxServerWindow {
		t.Errorf("window %d", got.conn.Window())
	}
}

type tlsless struct{ net.Conn }

func TestWindow(t *testing.T) {
	for rtt, want := range map[time.Duration]int{
		0: 256 << 10, 999 * time.Microsecond: 256 << 10, time.Millisecond: 256 << 10,
		10 * time.Millisecond: 2_500_000, 50 * time.Millisecond: 12_500_000, 100 * time.Millisecond: 16 << 20, time.Hour: 16 << 20,
	} {
		if got := Window(rtt); got != want {
			t.Errorf("%v: %d, want %d", rtt, got, want)
		}
	}
}

// TestTCPCrowdOfNetworks: when too many connections of many networks say
// nothing, the oldest go, and a newcomer logs in.
func TestTCPCrowdOfNetworks(t *testing.T) {
	signer := newIdentity(t)
	s := serveTCP(t, admit("alice", signer))
	const networks, each, most = 16, 3, 40
	s.gate.mu.Lock()
	s.gate.max = most
	s.gate.mu.Unlock()
	from := func(host int) *net.Dialer {
		return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 7, byte(host))}, Timeout: patience}
	}
	for i := range networks * each {
		c, err := from(1+i%networks).Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range networks*each - most {
		if got := s.login(t); !errors.Is(got.err, ErrCrowded) {
			t.Errorf("%v", got.err)
		}
	}
	opts := s.options(signer)
	opts.AwaitVerdict = true
	opts.Dial = from(200).DialContext
	if _, err := s.dial(t, opts); err != nil {
		t.Errorf("one who logs in: %v", err)
	}
	for range 2 { // the one that made room for it, and itself
		got := s.login(t)
		defer got.conn.Close()
		if got.err != nil && !errors.Is(got.err, ErrCrowded) {
			t.Errorf("%v", got.err)
		}
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.pending != most-1 {
		t.Errorf("%d are pending, want %d", s.gate.pending, most-1)
	}
}
