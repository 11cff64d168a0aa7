//go:build unix

package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A besideServer is one of the programs that make a server of another.
type besideServer struct {
	name  string
	start func(t *testing.T, script string) plain
}

// besideServers are rex and what a user would pick instead. Each runs a script
// of the shell for every connection.
var besideServers = []besideServer{
	{"rexd service run", func(t *testing.T, script string) plain {
		return startService(t, "--idle", "2s", "--", "sh", fileWith(t, script)).plain
	}},
	{"socat", func(t *testing.T, script string) plain {
		return startOther(t, script, func(addr plain) []string {
			return []string{"socat", "TCP-LISTEN:" + addr.port + ",bind=" + addr.host + ",reuseaddr,fork", "EXEC:sh " + besideScript}
		})
	}},
	{"systemd-socket-activate", func(t *testing.T, script string) plain {
		return startOther(t, script, func(addr plain) []string {
			return []string{"systemd-socket-activate", "--inetd", "-a", "-l", addr.tcp(), "sh", besideScript}
		})
	}},
}

// besideScript is the name of the script where the others run.
const besideScript = "./script"

// startOther starts a server that is not ours, in a directory with the script,
// and ends what it has started.
func startOther(t *testing.T, script string, argv func(plain) []string) plain {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var p plain
	p.host, p.port, _ = strings.Cut(free.Addr().String(), ":")
	_ = free.Close()
	words := argv(p)
	needs(t, words[0])
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := os.WriteFile(cmd.Dir+"/"+besideScript, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	until(t, patience, words[0]+" listens", func() bool {
		conn, err := net.Dial("tcp", p.tcp())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return p
}

// A besideCase is something that may be lost. It says what became of it.
type besideCase struct {
	name, script string
	run          func(t *testing.T, p plain, word string) string
	want         string // of rex; empty for figures
}

var besideCases = []besideCase{
	{"answer after the client's end (sort)", "sort", func(t *testing.T, p plain, _ string) string {
		got := ask(t, plainClients[2].tcp(p), fileWith(t, "b\na\n"))
		return fmt.Sprintf("%q", got.stdout)
	}, `"a\nb\n"`},
	{"answer when input is left unread (head -c 10, 100 MiB)", "head -c 10", func(t *testing.T, p plain, _ string) string {
		question := fileOfZeros(t, 100<<20)
		rounds, lost, resets := 50, 0, 0
		for range rounds {
			got := ask(t, plainClients[2].tcp(p), question)
			if got.stdout != strings.Repeat("\x00", 10) {
				lost++
			}
			if got.code != 0 {
				resets++
			}
		}
		return fmt.Sprintf("%d of %d lost, client reset in %d", lost, rounds, resets)
	}, "0 of 50 lost, client reset in 0"},
	{"program closes stdout and goes on", "echo hello; exec >&-; sleep 3", func(t *testing.T, p plain, _ string) string {
		conn := dialBeside(t, p)
		if line := make([]byte, 6); read(conn, line) != nil {
			return "no answer"
		}
		begin := time.Now()
		err := read(conn, make([]byte, 1))
		return fmt.Sprintf("%s to the client %s", ending(err), when(time.Since(begin)))
	}, "end to the client at once"},
	{"program leaves a child behind", "sleep WORD >/dev/null 2>&1 </dev/null & echo done", func(t *testing.T, p plain, word string) string {
		_, _ = io.ReadAll(dialBeside(t, p))
		return left(word)
	}, "nothing left"},
	{"client resets while the program waits", "echo; exec sleep WORD", func(t *testing.T, p plain, word string) string {
		conn := dialBeside(t, p)
		_ = read(conn, make([]byte, 1))
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return left(word)
	}, "nothing left"},
	{"client says nothing for 2 s (--idle 2s)", "cat; sleep WORD", func(t *testing.T, p plain, word string) string {
		conn := dialBeside(t, p)
		_ = conn.SetDeadline(time.Now().Add(4 * time.Second))
		return ending(read(conn, make([]byte, 1))) + ", " + left(word)
	}, "reset, nothing left"},
	{"1 GiB through cat, median of 5", "exec cat", func(t *testing.T, p plain, _ string) string {
		const size = 1 << 30
		took := median(5, func() {
			conn := dialBeside(t, p)
			go func() { // ends with the connection
				_, _ = io.CopyN(conn, zeros{}, size)
				_ = conn.CloseWrite()
			}()
			if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
		return fmt.Sprintf("%.2f GB/s", size/1e9/took.Seconds())
	}, ""},
	{"connection, true, and its end, median of 101", "exec true", func(t *testing.T, p plain, _ string) string {
		took := median(101, func() {
			conn := dialBeside(t, p)
			_ = conn.CloseWrite()
			_, _ = io.ReadAll(conn)
			_ = conn.Close()
		})
		return took.Round(10 * time.Microsecond).String()
	}, ""},
}

// zeros is an endless text of NUL.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// median is the time that f takes.
func median(rounds int, f func()) time.Duration {
	var times []time.Duration
	for range rounds {
		begin := time.Now()
		f()
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[rounds/2]
}

func dialBeside(t *testing.T, p plain) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.tcp())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

func read(conn net.Conn, b []byte) error {
	_, err := io.ReadFull(conn, b)
	return err
}

// ending is how a connection ended for its client.
func ending(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "end"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	}
	return fmt.Sprint(err)
}

func when(d time.Duration) string {
	if d < time.Second {
		return "at once"
	}
	return fmt.Sprintf("after %d s", int(d.Seconds()+0.5))
}

// left tells whether a process with that word is left after a while, and ends it.
func left(word string) string {
	for deadline := time.Now().Add(7 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if len(alive(word)) == 0 {
			return "nothing left"
		}
	}
	for _, pid := range alive(word) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	return "the process is left"
}

// TestServiceBeside: what the usual programs lose and rex does not, which is
// the table of docs/services.md.
func TestServiceBeside(t *testing.T) {
	needsProc(t)
	if os.Getenv("REX_SLOW") == "" {
		t.Skip("set REX_SLOW=1 for the test of minutes")
	}
	for i, c := range besideCases {
		for j, server := range besideServers {
			word := strconv.Itoa(400_000_000 + os.Getpid()*100 + 10*i + j)
			t.Run(c.name+"/"+server.name, func(t *testing.T) {
				got := c.run(t, server.start(t, strings.ReplaceAll(c.script, "WORD", word)), word)
				t.Logf("| %s | %s | %s |", c.name, server.name, got)
				if j == 0 && c.want != "" && got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		}
	}
}
