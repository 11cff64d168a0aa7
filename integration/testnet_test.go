//go:build linux || darwin || freebsd

package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session/sessiontest"
)

// buildTestnet builds the programs once with the tag that lets them join test
// networks.
var buildTestnet = sync.OnceValues(func() (string, error) { return build("-tags", "testnet") })

// A testnet is a test network with a rexd on each of its hosts web1, web2 …, all
// with the keys of one network.
type testnet struct {
	*network
	*sessiontest.Network
	dir  string // of the network
	bin  string
	rexd map[string]*daemon
}

func startTestnet(t *testing.T, hosts int) *testnet {
	t.Helper()
	bin, err := buildTestnet()
	if err != nil {
		t.Fatal(err)
	}
	n := &testnet{network: newNetwork(t), dir: t.TempDir(), bin: bin, rexd: make(map[string]*daemon)}
	if err := os.Chmod(n.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if n.Network, err = sessiontest.Join(n.dir, "net"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Network.Close(); err != nil {
			t.Error(err)
		}
	})
	var known strings.Builder
	for i := range hosts {
		name := fmt.Sprintf("web%d", i+1)
		n.startOn(t, name)
		fmt.Fprintf(&known, "[%s]:7390 %s", name, n.public(t, "host"))
	}
	n.write(t, "known_hosts", known.String())
	return n
}

// startOn starts the rexd of a host.
func (n *testnet) startOn(t *testing.T, host string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rexd.toml")
	if err := os.WriteFile(file, []byte(n.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{addr: host + ":7390", done: make(chan struct{})}
	d.start(t, n.command(t, host, "rexd", append(n.flags(), "--config", file, "--listen", ":7390")...))
	n.rexd[host] = d
}

// command is a program on a host.
func (n *testnet) command(t *testing.T, host, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, program), args...)
	if program == "rex" {
		cmd = exec.CommandContext(t.Context(), cmd.Path, args...)
	}
	cmd.Env = append(os.Environ(), "REX_TESTNET="+n.dir+":net:"+host)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// rexAt is rex on a host.
func (n *testnet) rexAt(t *testing.T, host string, args ...string) *exec.Cmd {
	t.Helper()
	return n.command(t, host, "rex", append(n.options(), append([]string{"-l", n.user}, args...)...)...)
}

// TestTestnetPrograms: ten machines in as many processes, whose programs know
// each other by name, log in and are exact about how commands end.
func TestTestnetPrograms(t *testing.T) {
	const hosts = 10
	n := startTestnet(t, hosts)
	name := func(i int) string { return fmt.Sprintf("web%d", i%hosts+1) }
	var pairs sync.WaitGroup
	turn := make(chan struct{}, 4) // programs at once
	for i := range hosts {
		for _, far := range []int{1, 2, 5} {
			from, to, status := name(i), name(i+far), 10*far+i
			pairs.Go(func() {
				turn <- struct{}{}
				defer func() { <-turn }()
				got := runProgram(t, n.rexAt(t, from, to, fmt.Sprintf("echo $SSH_CONNECTION; cat; exit %d", status)), from+" to "+to)
				between := func(a, b string) string {
					near, far := sessiontest.Addr{Host: a}.AddrPort(), sessiontest.Addr{Host: b}.AddrPort()
					return fmt.Sprintf("%s 49152 %s 7390\n%s to %s", near.Addr(), far.Addr(), a, b)
				}
				if want := (result{stdout: between(from, to), code: status}); got != want {
					t.Errorf("%s to %s: %+v, want %+v", from, to, got, want)
				}
			})
		}
	}
	pairs.Wait()
	n.rexd["web1"].logged(t, `"login",.*"peer":"(web10:49152)"`)
	if got := runProgram(t, n.rexAt(t, "laptop", "-p", "1", "web1", "true"), ""); got.code != 255 || !strings.Contains(got.stderr, "nobody listens on port 1 of web1") {
		t.Errorf("%+v", got)
	}
	if got := runProgram(t, n.rexAt(t, "laptop", "web11", "true"), ""); got.code != 255 || !strings.Contains(got.stderr, "cannot find the address of web11") {
		t.Errorf("%+v", got)
	}
}

// TestTestnetCut: over a link that is cut nothing comes and nobody connects; when
// it is mended the command goes on as if nothing had been.
func TestTestnetCut(t *testing.T) {
	n := startTestnet(t, 2)
	cmd := n.rexAt(t, "laptop", "web1", "read a; echo $a; read b; echo $b; exit 7")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	say := func(line string) {
		if _, err := io.WriteString(stdin, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("before")
	if !lines.Scan() || lines.Text() != "before" {
		t.Fatalf("%q, %v", lines.Text(), lines.Err())
	}
	n.Cut("laptop", "web1")
	say("over a cut link")
	if got := runProgram(t, n.rexAt(t, "laptop", "-oConnectTimeout=1", "web1", "true"), ""); got.code != 255 || !strings.Contains(got.stderr, "no answer from web1") {
		t.Errorf("%+v", got)
	}
	if got := runProgram(t, n.rexAt(t, "laptop", "web2", "echo", "up"), ""); got != (result{stdout: "up\n"}) {
		t.Errorf("over another link: %+v", got)
	}
	n.Mend("laptop", "web1")
	if !lines.Scan() || lines.Text() != "over a cut link" || lines.Scan() {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	if code := exitCode(t, cmd.Wait()); code != 7 {
		t.Errorf("status %d", code)
	}
}

// TestTestnetKilled: a rexd that is killed is lost to its clients, and leaves its
// host's name and port to the next one.
func TestTestnetKilled(t *testing.T) {
	n := startTestnet(t, 1)
	cmd := n.rexAt(t, "laptop", "web1", "echo up; exec cat")
	cmd.Stderr = new(lockedBuffer)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := n.rexd["web1"].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-n.rexd["web1"].done
	if code := exitCode(t, cmd.Wait()); code != 255 || !strings.Contains(fmt.Sprint(cmd.Stderr), "connection lost") {
		t.Errorf("status %d: %s", code, cmd.Stderr)
	}
	n.startOn(t, "web1")
	if got := runProgram(t, n.rexAt(t, "laptop", "web1", "exit", "3"), ""); got != (result{code: 3}) {
		t.Errorf("%+v", got)
	}
}
