//go:build unix

package integration

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rexec/rex/session"
)

// TestManyAtOnce: 200 commands on one session, each with a MiB both ways, and
// nothing of them left in the daemon afterwards.
func TestManyAtOnce(t *testing.T) {
	needsProc(t)
	d := startDaemon(t)
	client, err := session.Dial(t.Context(), d.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	runMany(t, client, 8) // warm: pools, stacks
	before := d.usage(t)
	for range 3 {
		runMany(t, client, 200)
	}
	var after usage
	until(t, 20*time.Second, "descriptors and threads are back to base", func() bool {
		after = d.usage(t)
		return after.descriptors <= before.descriptors
	})
	t.Logf("before %+v, after %+v", before, after)
	if after.heap > before.heap+8<<20 {
		t.Errorf("heap in use grew from %d to %d bytes", before.heap, after.heap)
	}
}

func runMany(t *testing.T, client *session.Client, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			data := make([]byte, 1<<20)
			_, _ = rand.Read(data)
			cmd := client.Command("cat")
			cmd.Stdin = bytes.NewReader(data)
			hash := sha256.New()
			cmd.Stdout = hash
			if err := cmd.Run(); err != nil {
				t.Error(err)
				return
			}
			if want := sha256.Sum256(data); !bytes.Equal(hash.Sum(nil), want[:]) {
				t.Error("cat gave back " + hex.EncodeToString(hash.Sum(nil)))
			}
		})
	}
	wg.Wait()
}

// usage is what the daemon holds.
type usage struct {
	heap        int64 // bytes in use after a collection, by the daemon's own word
	descriptors int
}

// usage asks the daemon with SIGUSR1, which logs its heap after a collection.
func (d *daemon) usage(t *testing.T) usage {
	t.Helper()
	seen := len(d.lines())
	if err := d.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var u usage
	until(t, 10*time.Second, "the daemon logs its memory", func() bool {
		for _, line := range d.lines()[seen:] {
			if _, rest, ok := strings.Cut(line, `"heap_inuse":`); ok {
				digits := strings.TrimRight(rest[:strings.IndexAny(rest, ",}")], " ")
				u.heap, _ = strconv.ParseInt(digits, 10, 64)
				return true
			}
		}
		return false
	})
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	u.descriptors = len(list)
	return u
}

// TestStoppedClient: a client that is stopped holds up nobody but its own
// command, and that one is exact when it goes on.
func TestStoppedClient(t *testing.T) {
	needsProc(t)
	d := startDaemon(t)
	stopped := rexCommand(t, d.addr, "seq 1 3000000; exit 7")
	hash := sha256.New()
	stdout, err := stopped.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 100)
	if _, err := io.ReadFull(stdout, first); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	base := d.usage(t)
	start := time.Now()
	for range 5 {
		if got := rex(t, "", d.addr, "seq 1 1000000 | tail -1"); got != (result{stdout: "1000000\n"}) {
			t.Fatalf("%+v", got)
		}
	}
	t.Logf("five commands beside a stopped client took %v; heap %d -> %d", time.Since(start), base.heap, d.usage(t).heap)
	if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	hash.Write(first)
	if _, err := io.Copy(hash, stdout); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, stopped.Wait()); code != 7 {
		t.Errorf("status %d, want 7", code)
	}
	want := sha256.New()
	seq := rexCommand(t)
	seq.Path, seq.Args, seq.Stdout = "/usr/bin/seq", []string{"seq", "1", "3000000"}, want
	if err := seq.Run(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hash.Sum(nil), want.Sum(nil)) {
		t.Error("the stopped client's output is not complete")
	}
}
