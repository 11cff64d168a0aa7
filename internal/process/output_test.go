//go:build unix

package process

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestReadDeadline(t *testing.T) {
	s := newSpawner(t, Options{Mode: ModeGroup})
	for name, spec := range map[string]*Spec{
		"pipe":     shell("echo hello; read x; echo bye"),
		"terminal": {Path: "/bin/sh", Args: []string{"sh", "-c", "stty -echo; echo hello; read x; echo bye"}, Env: os.Environ(), Term: &Term{}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Stdin = true
			p := start(t, s, spec)
			out := p.Stdout()
			if err := out.WaitReadable(); err != nil {
				t.Fatal(err)
			}
			past := time.Unix(1, 0)
			if err := out.SetReadDeadline(past); err != nil {
				t.Fatal(err)
			}
			if err := out.WaitReadable(); err != nil {
				t.Errorf("with output there: %v", err)
			}
			_ = out.SetReadDeadline(time.Time{})
			if line := readLine(t, out); line[:5] != "hello" {
				t.Errorf("read %q", line)
			}
			for _, deadline := range []time.Time{past, time.Now().Add(20 * time.Millisecond)} {
				_ = out.SetReadDeadline(deadline)
				if err := out.WaitReadable(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("without output: %v", err)
				}
			}
			_ = out.SetReadDeadline(time.Time{})
			if _, err := p.Stdin().Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			if err := out.WaitReadable(); err != nil {
				t.Errorf("after the deadline was taken away: %v", err)
			}
			_ = out.Close()
			if err := out.WaitReadable(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("after the close: %v", err)
			}
		})
	}
}
