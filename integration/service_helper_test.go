//go:build unix

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A plain is a server of plain connections, at one address of TCP and one Unix
// socket; path is empty if it has none.
type plain struct {
	host, port, path string
}

func (p plain) tcp() string { return p.host + ":" + p.port }

// A service is a running rexd service run.
type service struct {
	*daemon
	plain
}

// startService starts rexd with further flags, two dashes, and a program.
func startService(t testing.TB, args ...string) *service {
	t.Helper()
	return startServiceBy(t, nil, args...)
}

// startServiceBy starts it by a command that executes its arguments.
func startServiceBy(t testing.TB, by []string, args ...string) *service {
	t.Helper()
	s := &service{daemon: &daemon{done: make(chan struct{})}}
	s.path = filepath.Join(socketDir(t), "s")
	argv := slices.Concat(by, []string{program(t, "rexd"), "service", "run", "--listen", "127.0.0.1:0", "--listen", "unix:" + s.path}, args)
	s.start(t, exec.Command(argv[0], argv[1:]...))
	s.host, s.port, _ = strings.Cut(s.record(t, "listening")["addr"].(string), ":")
	return s
}

// record is the first line of the log with that message.
func (s *service) record(t testing.TB, msg string) map[string]any {
	t.Helper()
	return s.records(t, msg)[0]
}

// records are the lines of the log with that message.
func (s *service) records(t testing.TB, msg string) (list []map[string]any) {
	t.Helper()
	for _, line := range s.lines() {
		record := make(map[string]any)
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if record["msg"] == msg {
			list = append(list, record)
		}
	}
	return list
}

// wantEnded waits until n connections have ended, all of them by themselves.
func (s *service) wantEnded(t testing.TB, n int) {
	t.Helper()
	until(t, patience, "the connections have ended", func() bool { return len(s.records(t, "connection ended")) >= n })
	for _, record := range s.records(t, "connection ended") {
		if record["how"] != "exited" {
			t.Errorf("log: %v", record)
		}
	}
	if got := len(s.records(t, "connection ended")); got != n {
		t.Errorf("%d connections, want %d", got, n)
	}
}

// pythonClient connects to host and port, or to a path; it sends its stdin and
// the end of it, and writes the answer. It fails when it is reset.
const pythonClient = `
import os, socket, sys, threading
if len(sys.argv) == 2:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
else:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
failed = []
def send():
    try:
        while chunk := os.read(0, 1 << 16):
            s.sendall(chunk)
        s.shutdown(socket.SHUT_WR)
    except OSError as e:
        failed.append(e)
sender = threading.Thread(target=send)
sender.start()
try:
    while chunk := s.recv(1 << 16):
        os.write(1, chunk)
except OSError as e:
    failed.append(e)
sender.join()
for e in failed:
    print(e, file=sys.stderr)
sys.exit(bool(failed))
`

// plainClients are programs that send their stdin and write the answer, and
// fail or complain when they are reset.
var plainClients = []struct {
	name string
	tcp  func(p plain) []string
	unix func(path string) []string
}{
	{
		"nc",
		func(p plain) []string { return []string{"nc", "-N", p.host, p.port} },
		func(path string) []string { return []string{"nc", "-N", "-U", path} },
	},
	{
		"socat",
		func(p plain) []string { return []string{"socat", "-t60", "STDIO", "TCP:" + p.tcp()} },
		func(path string) []string { return []string{"socat", "-t60", "STDIO", "UNIX-CONNECT:" + path} },
	},
	{
		"python3",
		func(p plain) []string { return []string{"python3", "-c", pythonClient, p.host, p.port} },
		func(path string) []string { return []string{"python3", "-c", pythonClient, path} },
	},
}

// eachClient runs a test with the argument vector of each client, for TCP and
// for a Unix socket.
func eachClient(t *testing.T, p plain, test func(t *testing.T, argv []string)) {
	for _, c := range plainClients {
		t.Run(c.name, func(t *testing.T) {
			needs(t, c.name)
			t.Run("tcp", func(t *testing.T) { test(t, c.tcp(p)) })
			t.Run("unix", func(t *testing.T) { test(t, c.unix(p.path)) })
		})
	}
}

// ask runs a client with a file as its stdin.
func ask(t testing.TB, argv []string, question string) result {
	t.Helper()
	f, err := os.Open(question)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, &stdout, &stderr
	code := exitCode(t, cmd.Run())
	return result{stdout.String(), stderr.String(), code}
}

// fileWith returns the path of a file with that in it.
func fileWith(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "question")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fileOfZeros returns the path of a file that takes no space.
func fileOfZeros(t testing.TB, size int64) string {
	t.Helper()
	path := fileWith(t, "")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}
