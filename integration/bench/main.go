//go:build unix

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one line of the table: columns are measured in turn, round by round.
type row struct {
	name    string
	unit    string
	columns []column
}

// column is one way to do a row's work. It returns a figure in the row's unit.
type column struct {
	name    string // "rex", a peer's name, or "limit"
	measure func() (float64, error)
}

func main() {
	run := flag.String("run", "", "measure only rows whose name contains this")
	rounds := flag.Int("rounds", 15, "how often every column of a row is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, *run, max(*rounds, 1)); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, run string, rounds int) error {
	dir, err := os.MkdirTemp("", "rex-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := newEnvironment(ctx, dir)
	if err != nil {
		return err
	}
	defer env.close()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, r := range env.rows() {
		if !strings.Contains(r.name, run) {
			continue
		}
		if err := r.print(ctx, table, rounds); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// print measures a row and prints it: each column's median, and for all but the
// last how it compares with the last, which is the limit.
func (r row) print(ctx context.Context, table *tabwriter.Writer, rounds int) error {
	figures := make([][]float64, len(r.columns))
	for range rounds {
		for i, c := range r.columns {
			if err := ctx.Err(); err != nil {
				return err
			}
			figure, err := c.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			figures[i] = append(figures[i], figure)
		}
	}
	limit := median(figures[len(figures)-1])
	fmt.Fprintf(table, "%s\t", r.name)
	for i, c := range r.columns {
		m := median(figures[i])
		fmt.Fprintf(table, "%s %.4g %s", c.name, m, r.unit)
		if i < len(r.columns)-1 && limit > 0 {
			fmt.Fprintf(table, " (%.2f)", m/limit)
		}
		fmt.Fprint(table, "\t")
	}
	fmt.Fprintln(table)
	return table.Flush()
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// timed runs a program to its end and returns the milliseconds it took.
func timed(ctx context.Context, argv ...string) func() (float64, error) {
	return func() (float64, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		start := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
		return milliseconds(time.Since(start)), nil
	}
}

// rate runs a pipeline of sh and returns how many MB of size went through it a
// second.
func rate(ctx context.Context, size int64, line string) func() (float64, error) {
	run := timed(ctx, "/bin/sh", "-c", line)
	return func() (float64, error) {
		ms, err := run()
		return float64(size) / 1e3 / ms, err
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// build builds rex and rexd as a user gets them.
func build(ctx context.Context, dir string) error {
	for _, name := range []string{"rex", "rexd"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "github.com/rexec/rex/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", name, err, out)
		}
	}
	return nil
}
