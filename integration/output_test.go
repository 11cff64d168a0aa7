//go:build unix

package integration

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSeqIsComplete: a command that writes a lot and ends at once loses nothing,
// however often it is run.
func TestSeqIsComplete(t *testing.T) {
	runs, last := amount(10, 20, 200), "2000000"
	want := sha256.New()
	local := rexCommand(t)
	local.Path, local.Args = "/usr/bin/seq", []string{"seq", "1", last}
	local.Stdout = want
	if err := local.Run(); err != nil {
		t.Fatal(err)
	}
	overTransports(t, func(t *testing.T, host string) {
		for range runs {
			got := sha256.New()
			cmd := rexCommand(t, to(host, "seq", "1", last)...)
			cmd.Stdout = got
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Fatal("output differs")
			}
		}
	})
}

// randomFile makes a file of random bytes and returns its hash.
func randomFile(t testing.TB, size int64) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "random")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, hash), rand.Reader, size); err != nil {
		t.Fatal(err)
	}
	return path, hex.EncodeToString(hash.Sum(nil))
}

// amount is how much a test does: of -short, ordinarily, and when REX_SLOW is
// set, which is what the promise names.
func amount(short, ordinary, all int) int {
	switch {
	case testing.Short():
		return short
	case os.Getenv("REX_SLOW") != "":
		return all
	}
	return ordinary
}

func bulkSize() int64 { return int64(amount(64<<20, 128<<20, 1<<30)) }

// TestBulkOut: a GiB arrives byte for byte, also at a reader that sleeps first.
func TestBulkOut(t *testing.T) {
	path, want := randomFile(t, bulkSize())
	overTransports(t, func(t *testing.T, host string) {
		t.Parallel()
		for _, delay := range []time.Duration{0, 5 * time.Second} {
			cmd := rexCommand(t, to(host, "cat", path)...)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay) // the reader of the promise: it sleeps first
			hash := sha256.New()
			if _, err := io.Copy(hash, stdout); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(hash.Sum(nil)); got != want {
				t.Fatalf("after %v: hash %s, want %s", delay, got, want)
			}
		}
	})
}

// TestBulkIn: a GiB of input arrives byte for byte, at a reader that sleeps
// first.
func TestBulkIn(t *testing.T) {
	path, want := randomFile(t, bulkSize())
	overTransports(t, func(t *testing.T, host string) {
		t.Parallel()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd := rexCommand(t, to(host, "sleep 5; sha256sum")...)
		cmd.Stdin = f
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(string(out), " "); got != want {
			t.Fatalf("hash %s, want %s", got, want)
		}
	})
}
