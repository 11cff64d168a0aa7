//go:build unix

package session_test

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rexec/rex/session"
)

// Benchmarks beside os/exec in the same run, in turns, because absolute times on a shared machine say little. The
// figure is the ratio.

// turns runs both in turns and reports how they compare: the ratio is of speeds, more is better.
func turns(b *testing.B, local, remote func() error) {
	b.Helper()
	var took [2]time.Duration
	for b.Loop() {
		for i, f := range []func() error{local, remote} {
			begin := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(begin)
		}
	}
	b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "µs-os/exec")
	b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "µs-session")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
}

// times calls f n times, m at a time.
func times(n, m int, f func() error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range m {
		wg.Go(func() {
			for range work {
				errs <- f()
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkCommand runs true on a live session.
func BenchmarkCommand(b *testing.B) {
	for _, mode := range []string{"cgroup", "group", "keeper"} {
		for _, m := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d at a time", mode, m), func(b *testing.B) {
				link := connect(b, &session.Server{Handler: newHandler(b, mode)}).greeted()
				local := func() error { return exec.Command("/bin/true").Run() }
				remote := func() error { return link.Command("/bin/true").Run() }
				if m == 1 {
					turns(b, local, remote)
					return
				}
				turns(b, func() error { return times(4*m, m, local) }, func() error { return times(4*m, m, remote) })
			})
		}
	}
}

const bulk = 256 << 20

// BenchmarkStdout receives 256 MiB.
func BenchmarkStdout(b *testing.B) {
	link := newLink(b)
	args := []string{"-c", strconv.Itoa(bulk), "/dev/zero"}
	b.SetBytes(2 * bulk)
	turns(b, func() error {
		cmd := exec.Command("head", args...)
		cmd.Stdout = counted()
		return cmd.Run()
	}, func() error {
		cmd := link.Command("head", args...)
		cmd.Stdout = counted()
		return cmd.Run()
	})
}

// counted is a writer that is not an *os.File, so that os/exec copies too.
func counted() io.Writer { return struct{ io.Writer }{io.Discard} }

// BenchmarkStdin sends 256 MiB.
func BenchmarkStdin(b *testing.B) {
	link := newLink(b)
	const script = "exec cat >/dev/null"
	b.SetBytes(2 * bulk)
	turns(b, func() error {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdin = io.LimitReader(endlessZeros{}, bulk)
		return cmd.Run()
	}, func() error {
		cmd := link.sh(script)
		cmd.Stdin = io.LimitReader(endlessZeros{}, bulk)
		return cmd.Run()
	})
}

// endlessZeros costs nothing to read.
type endlessZeros struct{}

func (endlessZeros) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkPassed is a command with the caller's own files: a connection, a
// login and a start each.
func BenchmarkPassed(b *testing.B) {
	for _, mode := range []string{"cgroup", "group"} {
		b.Run(mode, func(b *testing.B) {
			client := passingClient(b, &session.Server{Handler: newHandler(b, mode)})
			turns(b, func() error { return exec.Command("true").Run() }, func() error { return client.Command("true").Run() })
		})
	}
}
