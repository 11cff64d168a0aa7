//go:build unix

package integration

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestServiceAnswers: programs as services, asked by clients that know nothing
// of rex.
func TestServiceAnswers(t *testing.T) {
	text := strings.Repeat("the quick brown fox\njumps over the lazy dog\n", amount(1_000, 20_000, 200_000))
	question := fileWith(t, text)
	half := strings.Count(text, "\n") / 2
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"tr", "a-z", "A-Z"}, strings.ToUpper(text)},
		{[]string{"sort"}, strings.Repeat("jumps over the lazy dog\n", half) + strings.Repeat("the quick brown fox\n", half)},
		{[]string{"cat"}, text},
	} {
		t.Run(c.argv[0], func(t *testing.T) {
			s := startService(t, append([]string{"--"}, c.argv...)...)
			asked := 0
			eachClient(t, s.plain, func(t *testing.T, argv []string) {
				asked++
				if got := ask(t, argv, question); got.stdout != c.want || got.stderr != "" || got.code != 0 {
					t.Errorf("%d bytes of %d or others, %q, status %d", len(got.stdout), len(c.want), got.stderr, got.code)
				}
			})
			s.wantEnded(t, asked)
		})
	}
}

// TestServiceUnreadInput: a program that ends long before its input does. The
// answer arrives each time, and no client sees a reset.
func TestServiceUnreadInput(t *testing.T) {
	question := fileOfZeros(t, int64(amount(10<<20, 100<<20, 100<<20)))
	s := startService(t, "--", "head", "-c", "10")
	asked := 0
	eachClient(t, s.plain, func(t *testing.T, argv []string) {
		for range amount(1, 3, 167) { // of six: 1,000 in all
			asked++
			if got := ask(t, argv, question); got.stdout != strings.Repeat("\x00", 10) || got.stderr != "" || got.code != 0 {
				t.Fatalf("%q, %q, status %d", got.stdout, got.stderr, got.code)
			}
		}
	})
	s.wantEnded(t, asked)
}

// httpServer is a server of one request that does not read its body.
const httpServer = `
read method path version
while read header && [ "$header" != "$(printf '\r')" ]; do :; done
body="you said $method $path"
printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\n%s' "${#body}" "$body"
`

// TestServiceHTTP: curl and a minimal server in shell, with a body that it does
// not read, too.
func TestServiceHTTP(t *testing.T) {
	needs(t, "curl")
	s := startService(t, "--", "sh", "-c", httpServer)
	upload := fileOfZeros(t, 20<<20)
	nothing := fileWith(t, "")
	for range amount(1, 3, 50) {
		for _, c := range []struct{ want, args string }{
			{"you said GET /a", "http://" + s.tcp() + "/a"},
			{"you said POST /b", "--data-binary @" + upload + " -H Expect: http://" + s.tcp() + "/b"},
			{"you said GET /c", "--unix-socket " + s.path + " http://localhost/c"},
		} {
			got := ask(t, append([]string{"curl", "-sS", "--max-time", "60"}, strings.Fields(c.args)...), nothing)
			if got.stdout != c.want || got.stderr != "" || got.code != 0 {
				t.Errorf("%s: %+v", c.args, got)
			}
		}
	}
}

// usage asks rexd for what it holds.
func (s *service) usage(t *testing.T) map[string]any {
	t.Helper()
	before := len(s.records(t, "usage"))
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	until(t, patience, "usage is logged", func() bool { return len(s.records(t, "usage")) > before })
	return s.records(t, "usage")[before]
}

// TestServiceMany: 1,000 connections at once, 100 MiB in all in each direction,
// by hash; one more is refused, and afterwards everything is as it was.
func TestServiceMany(t *testing.T) {
	needsProc(t)
	connections := amount(100, 1_000, 1_000)
	s := startService(t, "--max-instances", "1000", "--max-per-source", "1000", "--", "cat")
	first := newTalker(t, s.tcp())
	first.talk(t, 1000)
	s.wantEnded(t, 1)
	base := s.usage(t)

	talkers := make([]*talker, connections)
	for i := range talkers {
		talkers[i] = newTalker(t, s.tcp())
	}
	if connections == 1_000 {
		wantRefused(t, s.tcp())
	}
	var wg sync.WaitGroup
	for _, talker := range talkers {
		wg.Go(func() { talker.talk(t, 100<<20/connections) })
	}
	wg.Wait()
	s.wantEnded(t, connections+1)
	if left := childrenOf(s.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
	s.usage(t) // a pool of buffers lives for two collections
	after := s.usage(t)
	t.Logf("at first %v\nafterwards %v", base, after)
	// The runtime keeps what it needs for as many goroutines as there were.
	for what, more := range map[string]float64{"descriptors": 0, "goroutines": 2, "heap_inuse": 8 << 20} {
		if after[what].(float64) > base[what].(float64)+more {
			t.Errorf("%s: %v at first, %v afterwards", what, base[what], after[what])
		}
	}
}

// A talker is a client of a service that echoes.
type talker struct{ conn *net.TCPConn }

// newTalker connects, and is sure that its program runs.
func newTalker(t *testing.T, addr string) *talker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(3 * time.Minute))
	if err := echo(conn); err != nil {
		t.Fatal(err)
	}
	return &talker{conn.(*net.TCPConn)}
}

// talk sends and receives so many bytes at the same time, and compares.
func (k *talker) talk(t *testing.T, size int) {
	sent, received := sha256.New(), sha256.New()
	done := make(chan error, 1)
	go func() { // ends at the latest with the connection
		seed := [32]byte(sent.Sum(nil))
		_, err := io.CopyN(io.MultiWriter(k.conn, sent), rand.NewChaCha8(seed), int64(size))
		done <- errors.Join(err, k.conn.CloseWrite())
	}()
	n, err := io.Copy(received, k.conn)
	if err := errors.Join(err, <-done); err != nil || n != int64(size) || string(sent.Sum(nil)) != string(received.Sum(nil)) {
		t.Errorf("%d bytes of %d or others, %v", n, size, err)
	}
	_ = k.conn.Close()
}

// wantRefused connects in vain.
func wantRefused(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = io.ReadAll(conn)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many: %v", err)
	}
}

// TestServiceOutOfDescriptors: who comes when they have run out is reset, who
// is there already is not disturbed, and afterwards all is well.
func TestServiceOutOfDescriptors(t *testing.T) {
	s := startServiceBy(t, []string{"sh", "-c", `ulimit -n 80; exec "$@"`, "sh"}, "--", "cat")
	var inside []net.Conn
	refused := 0
	for range 25 {
		conn, err := net.Dial("tcp", s.tcp())
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			err = echo(conn)
		}
		switch {
		case err == nil:
			inside = append(inside, conn)
		case errors.Is(err, syscall.ECONNRESET):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if refused == 0 || len(inside) < 5 {
		t.Errorf("%d were let in and %d refused", len(inside), refused)
	}
	for _, conn := range inside {
		if err := echo(conn); err != nil {
			t.Errorf("disturbed: %v", err)
		}
		_ = conn.Close()
	}
	until(t, patience, "there are descriptors again", func() bool {
		conn, err := net.Dial("tcp", s.tcp())
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		return echo(conn) == nil
	})
}

// echo sends a byte to a service that returns it.
func echo(conn net.Conn) error {
	if _, err := conn.Write([]byte{'!'}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// TestServiceKilled: when rexd is killed its programs are, and no client takes
// that for the end of the answer.
func TestServiceKilled(t *testing.T) {
	needsProc(t)
	marker := strconv.Itoa(300_000_000 + os.Getpid()) // seconds, and in nobody else's arguments
	s := startService(t, "--", "sh", "-c", "echo; sleep "+marker)
	conn, err := net.Dial("tcp", s.tcp())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Process.Kill()
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want a reset", err)
	}
	// A keeper ends the program now; in a cgroup the next rexd does.
	startService(t, "--", "cat")
	until(t, patience, "the program is ended", func() bool { return len(alive(marker)) == 0 })
}
