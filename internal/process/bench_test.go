//go:build unix

package process

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkStartWait starts /bin/true, waits for it and releases it, and does
// the same by os/exec in turns. It reports medians; their ratio is the figure
// to look at.
func BenchmarkStartWait(b *testing.B) {
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		b.Run(string(mode), func(b *testing.B) {
			s := newSpawner(b, Options{Mode: mode})
			var ours, theirs []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := startAndEnd(s); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				runExec(b)
				ours = append(ours, middle.Sub(began))
				theirs = append(theirs, time.Since(middle))
			}
			b.ReportMetric(float64(median(ours).Microseconds()), "µs/ours")
			b.ReportMetric(float64(median(theirs).Microseconds()), "µs/exec")
			b.ReportMetric(float64(median(ours))/float64(median(theirs)), "ratio")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// runExec does with os/exec what the other half of the benchmark does.
func runExec(b *testing.B) {
	cmd := exec.Command("/bin/true")
	cmd.Env = []string{}
	for _, pipe := range []func() error{
		func() error { _, err := cmd.StdinPipe(); return err },
		func() error { _, err := cmd.StdoutPipe(); return err },
		func() error { _, err := cmd.StderrPipe(); return err },
		cmd.Start,
		cmd.Wait,
	} {
		if err := pipe(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParallel is the rate of 16 at a time.
func BenchmarkParallel(b *testing.B) {
	run := func(b *testing.B, one func() error) {
		b.SetParallelism(8) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := one(); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "starts/s")
	}
	for _, mode := range []Mode{ModeCgroup, ModeKeeper, ModeGroup} {
		b.Run(string(mode), func(b *testing.B) {
			s := newSpawner(b, Options{Mode: mode})
			run(b, func() error { return startAndEnd(s) })
		})
	}
	b.Run("os-exec", func(b *testing.B) { run(b, func() error { runExec(b); return nil }) })
}
