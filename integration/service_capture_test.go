//go:build unix

package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A capture is what crosses the loopback interface to and from a port, as far
// as connections begin and end.
//
// A reset of a connection that both sides have ended is none if the client sent
// it, or has acknowledged the server's end: when packets of the loopback
// interface overtake each other between processors, the kernel answers so to a
// late acknowledgement, and there is nothing left to be lost.
type capture struct {
	port string

	mu     sync.Mutex
	server map[string]uint32 // by the client's port: what acknowledges the server's FIN
	client map[string]bool   // the client has ended the connection
	acked  map[string]bool   // the client has acknowledged the server's FIN
	rsts   []string          // the packets that reset one
}

// Flags of a packet of TCP.
const (
	flagFIN = 1 << 0
	flagRST = 1 << 2
	flagACK = 1 << 4
)

// captured are the fields of a packet that packet takes, in order.
var captured = []string{"tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.len"}

func newCapture(port string) *capture {
	return &capture{port: port, server: make(map[string]uint32), client: make(map[string]bool), acked: make(map[string]bool)}
}

// captureArgs are tshark's, to capture what begins, ends or resets a connection,
// and what the client acknowledges without bytes of its own.
func captureArgs(port string) []string {
	const flags = "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"
	empty := "tcp dst port " + port + " and ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) = 0"
	args := []string{"-n", "-l", "-q", "-i", "lo", "-s", "96", "-f", fmt.Sprintf("tcp port %s and (%s or (%s))", port, flags, empty), "-T", "fields"}
	for _, field := range captured {
		args = append(args, "-e", field)
	}
	return args
}

// startCapture starts tshark and waits until it sees something.
func startCapture(t *testing.T, p plain) *capture {
	t.Helper()
	needs(t, "tshark")
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs as root")
		}
		t.Skip("needs root, to capture")
	}
	c := newCapture(p.port)
	cmd := exec.Command("tshark", captureArgs(p.port)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with the program that captures for it
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with tshark
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.packet(strings.Fields(lines.Text()))
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		<-done
		_ = cmd.Wait()
	})
	until(t, patience, "tshark captures", func() bool {
		c.connect(t, p.tcp())
		return c.ended() > 0
	})
	return c
}

// connect makes a connection that ends in an orderly way at once.
func (c *capture) connect(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(conn); err != nil {
		t.Error(err)
	}
}

func (c *capture) packet(field []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(field) != len(captured) {
		return
	}
	var number [4]uint32 // of the fields from the flags on
	for i := range number {
		n, err := strconv.ParseUint(field[2+i], 0, 32)
		if err != nil {
			return
		}
		number[i] = uint32(n)
	}
	flags, seq, ack, size := number[0], number[1], number[2], number[3]
	port, fromServer := field[0], false
	if field[0] == c.port {
		port, fromServer = field[1], true
	}
	end, ended := c.server[port]
	if !fromServer && ended && flags&flagACK != 0 && int32(ack-end) >= 0 {
		c.acked[port] = true
	}
	if over := ended && c.client[port] && (!fromServer || c.acked[port]); flags&flagRST != 0 && !over {
		c.rsts = append(c.rsts, strings.Join(field, " "))
	}
	switch {
	case flags&flagFIN == 0:
	case fromServer:
		c.server[port] = seq + size + 1
	default:
		c.client[port] = true
	}
}

// TestCapturedResets: which resets count.
func TestCapturedResets(t *testing.T) {
	const (
		serverEnds = "80 9 0x0011 4294967290 501 5" // its sequence number overflows
		clientEnds = "9 80 0x0011 500 4294967290 0" // and does not acknowledge all that
		clientAcks = "9 80 0x0010 501 0 0"
		serverRST  = "80 9 0x0014 0 501 0"
		clientRST  = "9 80 0x0004 501 0 0"
	)
	for want, cases := range [][][]string{
		0: {
			{serverEnds, clientEnds, clientRST},
			{serverEnds, clientEnds, clientAcks, serverRST},
			{clientEnds, serverEnds, clientAcks, serverRST},
			{serverEnds, clientAcks, clientEnds, serverRST},
		},
		1: {
			{serverRST},
			{clientRST},
			{clientEnds, serverRST},
			{serverEnds, serverRST},
			{serverEnds, clientRST},
			{serverEnds, clientAcks, serverRST},
			{clientEnds, serverEnds, serverRST},
			{serverEnds, clientEnds, serverRST},
		},
	} {
		for _, packets := range cases {
			c := newCapture("80")
			for _, packet := range packets {
				c.packet(strings.Fields(packet))
			}
			if got := c.resets(); len(got) != want {
				t.Errorf("%q: %q, want %d", packets, got, want)
			}
		}
	}
}

// ended is how many connections the server has ended with a FIN.
func (c *capture) ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.server)
}

// resets lists the packets that reset a connection, from either side, as the
// fields of captured.
func (c *capture) resets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.rsts...)
}

// TestServicePackets: every connection of a client that behaves is ended by a
// FIN, and none by a reset, whatever the program leaves unread; one that a
// limit cuts short is reset.
func TestServicePackets(t *testing.T) {
	question := fileOfZeros(t, int64(amount(1<<20, 20<<20, 100<<20)))
	short := fileWith(t, "a few\n") // the client ends at once
	for _, test := range []struct {
		name     string
		argv     []string
		question string
	}{
		{"head", []string{"head", "-c", "10"}, question},
		{"wc", []string{"wc", "-c"}, question},
		{"true", []string{"true"}, question},
		{"short", []string{"true"}, short},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startService(t, append([]string{"--max-output", "100", "--"}, test.argv...)...)
			c := startCapture(t, s.plain)
			before, asked := c.ended(), 0
			for _, client := range plainClients {
				needs(t, client.name)
				for range amount(1, 5, 50) {
					asked++
					if got := ask(t, client.tcp(s.plain), test.question); got.stderr != "" || got.code != 0 {
						t.Errorf("%s: %q, status %d", client.name, got.stderr, got.code)
					}
				}
			}
			until(t, patience, "all connections have ended", func() bool { return c.ended() >= before+asked })
			if resets := c.resets(); len(resets) > 0 {
				t.Errorf("resets (%s):\n%s", strings.Join(captured, " "), strings.Join(resets, "\n"))
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		s := startService(t, "--max-output", "100", "--", "cat")
		c := startCapture(t, s.plain)
		if got := ask(t, plainClients[2].tcp(s.plain), question); got.code != 1 || !strings.Contains(got.stderr, "reset") {
			t.Errorf("%q, status %d", got.stderr, got.code)
		}
		until(t, patience, "the reset is captured", func() bool { return len(c.resets()) > 0 })
	})
}
