//go:build unix

package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A capture is what crosses the loopback interface to and from a port, as far
// as connections begin and end.
//
// A reset of a connection that both sides have ended is none: when packets of
// the loopback interface overtake each other between processors, the kernel
// answers so to a late acknowledgement, and there is nothing left to be lost.
type capture struct {
	port string

	mu     sync.Mutex
	server map[string]bool // by the client's port: the server has ended the connection
	client map[string]bool // the client has
	rsts   []string        // the packets that reset one
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
	c := &capture{port: p.port, server: make(map[string]bool), client: make(map[string]bool)}
	filter := fmt.Sprintf("tcp port %s and tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0", p.port)
	cmd := exec.Command("tshark", "-n", "-l", "-q", "-i", "lo", "-s", "96", "-f", filter, "-T", "fields",
		"-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "tcp.flags.fin", "-e", "tcp.flags.reset")
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
	if len(field) != 4 {
		return
	}
	port, ended := field[0], c.client
	if field[0] == c.port {
		port, ended = field[1], c.server
	}
	set := func(flag string) bool { return flag == "1" || flag == "True" }
	if set(field[3]) && !(c.server[port] && c.client[port]) {
		c.rsts = append(c.rsts, strings.Join(field, " "))
	}
	if set(field[2]) {
		ended[port] = true
	}
}

// ended is how many connections the server has ended with a FIN.
func (c *capture) ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.server)
}

// resets lists the packets that reset a connection, from either side, as the
// ports from and to, FIN and RST.
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
	for _, argv := range [][]string{{"head", "-c", "10"}, {"wc", "-c"}, {"true"}} {
		t.Run(argv[0], func(t *testing.T) {
			s := startService(t, append([]string{"--max-output", "100", "--"}, argv...)...)
			c := startCapture(t, s.plain)
			before, asked := c.ended(), 0
			for _, client := range plainClients {
				needs(t, client.name)
				for range amount(1, 5, 50) {
					asked++
					if got := ask(t, client.tcp(s.plain), question); got.stderr != "" || got.code != 0 {
						t.Errorf("%s: %q, status %d", client.name, got.stderr, got.code)
					}
				}
			}
			until(t, patience, "all connections have ended", func() bool { return c.ended() >= before+asked })
			if resets := c.resets(); len(resets) > 0 {
				t.Errorf("resets (from, to, FIN, RST):\n%s", strings.Join(resets, "\n"))
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
