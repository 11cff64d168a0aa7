//go:build unix

package cli

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// released is what the writers of these tests wait for: nothing.
func released() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// A reader that is gone ends one output only.
func TestOutputBrokenPipe(t *testing.T) {
	survivePipes()
	r, w := pipe(t)
	r.Close()
	var o outputs
	if _, err := o.writer(w, "stdout", released()).Write([]byte("x")); !isBrokenPipe(err) {
		t.Errorf("got %v", err)
	}
	if err := o.failure(); err != nil {
		t.Errorf("counted: %v", err)
	}
	r2, w2 := pipe(t)
	if _, err := o.writer(w2, "stderr", released()).Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := r2.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// Any other error ends both, and counts.
func TestOutputFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	_, w := pipe(t)
	var o outputs
	if _, err := o.writer(full, "stdout", released()).Write([]byte("x")); err == nil {
		t.Error("written")
	}
	if err := o.failure(); err == nil || err.Error() != "cannot write stdout: no space left on device" {
		t.Errorf("%v", err)
	}
	if _, err := o.writer(w, "stderr", released()).Write([]byte("x")); err == nil {
		t.Error("the other output goes on")
	}
}

// A pipe that another program made non-blocking is waited for, and everything
// arrives in order.
func TestOutputNonBlocking(t *testing.T) {
	r, w := pipe(t)
	conn, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// A file of the same description that os takes for a blocking one, as it
	// takes a stdout that was made non-blocking later.
	var fd int
	if cerr := conn.Control(func(old uintptr) { fd, err = syscall.Dup(int(old)) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "dup")
	defer f.Close()
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789", 50_000)
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(r, int64(len(text))))
		got <- string(b)
	}()
	var o outputs
	if n, err := o.writer(f, "stdout", released()).Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if <-got != text {
		t.Error("not what was written")
	}
}

// Nothing is written before the terminal is ready for it.
func TestOutputWaits(t *testing.T) {
	r, w := pipe(t)
	ready := make(chan struct{})
	var o outputs
	out := o.writer(w, "stdout", ready)
	done := make(chan error, 1)
	go func() {
		_, err := out.Write([]byte("late"))
		done <- err
	}()
	if _, err := w.WriteString("early "); err != nil {
		t.Fatal(err)
	}
	close(ready)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 20)
	if n, _ := io.ReadAtLeast(r, b, len("early late")); string(b[:n]) != "early late" {
		t.Errorf("%q", b[:n])
	}
}
