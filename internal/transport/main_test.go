//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rexec/rex/proto"
)

// patience bounds every wait of these tests for something that happens at once
// on an idle machine.
const patience = 20 * time.Second

// helperVar names the program that this test binary is to be.
const helperVar = "REX_TRANSPORT_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVar); name != "" {
		os.Exit(runHelper(name, os.Args[1:]))
	}
	warmUp()
	before := openFiles()
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left:", err)
		code = 1
	}
	if left := filesBeyond(before); left != "" {
		fmt.Fprintln(os.Stderr, "descriptors left:", left)
		code = 1
	}
	os.Exit(code)
}

// warmUp opens what the runtime keeps open once it was used.
func warmUp() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		ln.Close()
	}
	exec.Command("true").Run()
}

// openFiles maps the open descriptors to what they are; empty without /proc.
func openFiles() map[string]string {
	files := make(map[string]string)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files[e.Name()] = target
		}
	}
	return files
}

// filesBeyond waits for descriptors that were not in before to go, and names
// those that do not.
func filesBeyond(before map[string]string) string {
	var left []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		left = nil
		for fd, target := range openFiles() {
			if _, ok := before[fd]; !ok {
				left = append(left, fd+" "+target)
			}
		}
		if len(left) == 0 {
			break
		}
	}
	return strings.Join(left, ", ")
}

// noNewFiles fails the test if it ends with more descriptors open than now.
func noNewFiles(t *testing.T) {
	t.Helper()
	before := openFiles()
	t.Cleanup(func() {
		if left := filesBeyond(before); left != "" {
			t.Errorf("descriptors left: %s", left)
		}
	})
}

// helper is this test binary as the program name.
func helper(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		exe = "/proc/self/exe" // can be executed where its directory cannot be entered
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), helperVar+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

func runHelper(name string, args []string) int {
	programs := map[string]func(args []string) error{
		"dial":    helperDial,
		"say":     helperSay,
		"accept":  helperAccept,
		"echo":    helperEcho,
		"stdio":   helperStdio,
		"stay":    helperStay,
		"listen":  helperListen,
		"halfend": helperHalfEnd,
	}
	if err := programs[name](args); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// socketDir is a directory that other users may enter but not write.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rex")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listen listens in a new directory until the test ends.
func listen(t *testing.T, opts UnixOptions) *UnixListener {
	t.Helper()
	l, err := ListenUnix(filepath.Join(socketDir(t), "rexd.sock"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A login is what became of one accepted connection.
type login struct {
	conn *UnixConn
	err  error
}

// serve accepts and shakes hands until the listener is closed. Connections
// are closed when the test ends.
func serve(t *testing.T, l *UnixListener) <-chan login {
	t.Helper()
	logins := make(chan login, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveOn(ctx, l, logins)
	}()
	t.Cleanup(func() {
		cancel()
		l.Close()
		<-done
		for len(logins) > 0 {
			(<-logins).conn.Close()
		}
	})
	return logins
}

func serveOn(ctx context.Context, l *UnixListener, logins chan<- login) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			conn := c.(*UnixConn)
			logins <- login{conn, conn.Handshake(ctx)}
		}()
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// rawDial connects without a login.
func rawDial(t *testing.T, l *UnixListener) *net.UnixConn {
	t.Helper()
	c, err := net.DialTimeout("unix", l.path, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UnixConn)
}

// authFrame is the login of user.
func authFrame(t testing.TB, user string) []byte {
	t.Helper()
	frame, err := (&proto.Auth{Mode: proto.AuthPeer, User: user}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// readVerdict reads the answer to a login.
func readVerdict(t *testing.T, r io.Reader) *proto.AuthResult {
	t.Helper()
	res, err := proto.ReadAuthResult(r)
	if err != nil {
		t.Fatalf("no verdict: %v", err)
	}
	return res
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
}
