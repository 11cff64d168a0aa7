//go:build unix

package term

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	xterm "golang.org/x/term"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openPTY returns the master and the terminal of a new pty.
func openPTY(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		master.Close()
		tty.Close()
	})
	return master, tty
}

// mode is the terminal's mode, in a form that can be compared.
func mode(t *testing.T, tty *os.File) xterm.State {
	t.Helper()
	state, err := xterm.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

func TestIsTerminal(t *testing.T) {
	_, tty := openPTY(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for f, want := range map[*os.File]bool{tty: true, r: false, nil: false} {
		if got := IsTerminal(f); got != want {
			t.Errorf("%v: %v", f, got)
		}
	}
}

func TestSize(t *testing.T) {
	master, tty := openPTY(t)
	if err := pty.Setsize(master, &pty.Winsize{Rows: 33, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	if rows, cols, ok := Size(nil, tty); rows != 33 || cols != 101 || !ok {
		t.Errorf("%d x %d, %v", rows, cols, ok)
	}
	if err := pty.Setsize(master, &pty.Winsize{}); err != nil {
		t.Fatal(err)
	}
	if rows, cols, ok := Size(tty); ok {
		t.Errorf("a terminal without a size: %d x %d", rows, cols)
	}
	if _, _, ok := Size(); ok {
		t.Error("no terminal at all")
	}
}

func TestClamp(t *testing.T) {
	for in, want := range map[int]uint16{-1: 0, 80: 80, 1 << 20: 1<<16 - 1} {
		if got := clamp(in); got != want {
			t.Errorf("%d: %d", in, got)
		}
	}
}

func TestRaw(t *testing.T) {
	_, tty := openPTY(t)
	before := mode(t, tty)
	r := NewRaw(tty)
	if r.Active() || mode(t, tty) != before {
		t.Error("changed before Enter")
	}
	for range 2 { // the second one must not take the raw mode for the one to go back to
		if err := r.Enter(); err != nil {
			t.Fatal(err)
		}
	}
	if !r.Active() || mode(t, tty) == before {
		t.Error("not raw after Enter")
	}
	for range 2 {
		if err := r.Restore(); err != nil {
			t.Fatal(err)
		}
		if r.Active() || mode(t, tty) != before {
			t.Error("not as before after Restore")
		}
	}
	if err := r.Enter(); err != nil || r.Active() || mode(t, tty) != before {
		t.Errorf("raw after the end: %v", err)
	}
}

func TestRawRestoreOnly(t *testing.T) {
	_, tty := openPTY(t)
	before := mode(t, tty)
	r := NewRaw(tty)
	if err := r.Restore(); err != nil || mode(t, tty) != before {
		t.Errorf("restored what was not changed: %v", err)
	}
}

// After a shell has changed the mode meanwhile, Again makes it raw, and the
// mode to go back to stays the first one.
func TestRawAgain(t *testing.T) {
	_, tty := openPTY(t)
	before := mode(t, tty)
	r := NewRaw(tty)
	if err := r.Again(); err != nil || mode(t, tty) != before {
		t.Errorf("raw without Enter: %v", err)
	}
	if err := r.Enter(); err != nil {
		t.Fatal(err)
	}
	raw := mode(t, tty)
	if err := xterm.Restore(int(tty.Fd()), &before); err != nil {
		t.Fatal(err)
	}
	if err := r.Again(); err != nil || mode(t, tty) != raw {
		t.Errorf("not raw again: %v", err)
	}
	if err := r.Restore(); err != nil || mode(t, tty) != before {
		t.Errorf("not as before: %v", err)
	}
}

func TestRawNoTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := NewRaw(null).Enter(); err == nil {
		t.Error("made /dev/null raw")
	}
}

// A descriptor in non-blocking mode is waited for in both directions.
func TestWait(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := WaitWritable(w); err != nil {
		t.Error(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- WaitReadable(r) }()
	select {
	case err := <-waited:
		t.Errorf("an empty pipe can be read: %v", err)
	case <-time.After(10 * time.Millisecond): // it can only fail to fail
	}
	if _, err := io.WriteString(w, "x"); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	w.Close()
	if err := WaitWritable(w); err == nil {
		t.Error("waited for a closed file")
	}
}
