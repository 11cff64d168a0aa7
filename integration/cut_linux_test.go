package integration

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowly is for tests that wait for minutes to pass; they wait beside each other.
func slowly(t *testing.T) {
	t.Helper()
	if os.Getenv("REX_SLOW") == "" {
		t.Skip("set REX_SLOW=1 for the tests of minutes")
	}
	t.Parallel()
}

// cut has all packets vanish until mend.
func (d *distance) cut(t testing.TB) { d.signal(t, syscall.SIGUSR1) }

func (d *distance) mend(t testing.TB) { d.signal(t, syscall.SIGUSR2) }

func (d *distance) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := d.link.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// A conversation is a rex at the near end and what it is told and says.
type conversation struct {
	*exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr lockedBuffer
}

// talk starts rex at the near end and waits for its command's line "up".
func (d *distance) talk(t testing.TB, n *network, line string) *conversation {
	t.Helper()
	c := &conversation{Cmd: d.in(d.near, program(t, "rex"), to(n.host(), line)...)}
	c.Stderr = &c.stderr
	stdout, err := c.StdoutPipe()
	if err == nil {
		c.in, err = c.StdinPipe()
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	c.out = bufio.NewReader(stdout)
	c.hears(t, "up")
	return c
}

func (c *conversation) hears(t testing.TB, want string) {
	t.Helper()
	if got, err := c.out.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("%q, %v, want %q: %s", got, err, want, c.stderr.String())
	}
}

// says sends a line, which the command answers.
func (c *conversation) says(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	c.hears(t, "got "+line)
}

const answering = `echo up; while read -r line; do echo "got $line"; done; exit 3`

// ends closes the input and expects the command's end.
func (c *conversation) ends(t testing.TB) {
	t.Helper()
	_ = c.in.Close()
	if code := exitCode(t, c.Wait()); code != 3 {
		t.Fatalf("status %d: %s", code, c.stderr.String())
	}
}

// seqSum is the hash of what seq prints.
func seqSum(t testing.TB, last string) []byte {
	t.Helper()
	sum := sha256.New()
	seq := exec.Command("seq", "1", last)
	seq.Stdout = sum
	if err := seq.Run(); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}

// streams expects that the rest of the output is that of seq.
func (c *conversation) streams(t testing.TB, want []byte) {
	t.Helper()
	sum := sha256.New()
	n, err := io.Copy(sum, c.out)
	if err != nil || string(sum.Sum(nil)) != string(want) {
		t.Errorf("%d bytes, %v: not what was sent", n, err)
	}
	if code := exitCode(t, c.Wait()); code != 0 {
		t.Errorf("status %d: %s", code, c.stderr.String())
	}
}

// TestLongStop: a client that is stopped for minutes keeps its session, with
// output on its way to it and without.
func TestLongStop(t *testing.T) {
	slowly(t)
	const last = "8000000" // 68 MB, more than all windows hold
	want := seqSum(t, last)
	d := startDistance(t, 20*time.Millisecond)
	n := startFarNetwork(t, d)
	quiet := d.talk(t, n, answering)
	busy := d.talk(t, n, "echo up; seq 1 "+last)
	for _, c := range []*conversation{quiet, busy} {
		if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(4 * time.Minute) // the minutes of the promise
	for _, c := range []*conversation{quiet, busy} {
		if err := c.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	busy.streams(t, want)
	quiet.says(t, "hello")
	quiet.ends(t)
}

// TestLongCut: a link that is cut for a while and mended loses nothing; one that
// stays cut ends the session at both ends, and the command's whole tree. Nothing
// says that a peer is gone but its silence.
func TestLongCut(t *testing.T) {
	slowly(t)
	const last = "8000000"
	want := seqSum(t, last)
	d := startDistance(t, 20*time.Millisecond)
	n := startFarNetwork(t, d)
	quiet := d.talk(t, n, answering)
	busy := d.talk(t, n, "echo up; seq 1 "+last)
	d.cut(t)
	time.Sleep(20 * time.Second) // the while of the promise
	d.mend(t)
	busy.streams(t, want)
	quiet.says(t, "hello")
	quiet.ends(t)

	idle, printing := fmt.Sprintf("86402.%d", os.Getpid()), fmt.Sprintf("86403.%d", os.Getpid())
	silent := d.talk(t, n, markedTree(idle))
	loud := d.talk(t, n, markedTree(printing)+" & yes") // unread: acknowledged by the kernel until the window is full
	d.cut(t)
	cut := time.Now()
	for what, marker := range map[string]string{"the idle session's tree ends": idle, "the printing one's tree ends": printing} {
		until(t, 3*time.Minute, what, func() bool { return len(alive("sleep\x00"+marker)) == 0 })
		t.Logf("%s after %v", what, time.Since(cut).Round(time.Second))
	}
	for _, c := range []*conversation{silent, loud} {
		_, _ = io.Copy(io.Discard, c.out)
		if code := exitCode(t, c.Wait()); code != 255 || !strings.Contains(c.stderr.String(), "connection lost") {
			t.Errorf("status %d: %s", code, c.stderr.String())
		}
	}
	t.Logf("both clients know it after %v", time.Since(cut).Round(time.Second))
}
