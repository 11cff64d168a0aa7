//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A wiring gives a command its standard streams, and the test the other ends.
type wiring func(t *testing.T, cmd *exec.Cmd) (in io.WriteCloser, out io.ReadCloser)

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// pair is a socket pair whose second end is for a child.
func pair(t *testing.T) (*net.UnixConn, *os.File) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

type writeHalf struct{ *net.UnixConn }

func (w writeHalf) Close() error { return w.CloseWrite() }

func wirings() map[string]wiring {
	return map[string]wiring{
		"pipes": func(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, io.ReadCloser) {
			r1, w1 := pipe(t)
			r2, w2 := pipe(t)
			cmd.Stdin, cmd.Stdout = r1, w2
			return w1, r2
		},
		"one socket": func(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, io.ReadCloser) {
			ours, theirs := pair(t)
			cmd.Stdin, cmd.Stdout = theirs, theirs
			return writeHalf{ours}, ours
		},
		"two sockets": func(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, io.ReadCloser) {
			in, theirIn := pair(t)
			out, theirOut := pair(t)
			cmd.Stdin, cmd.Stdout = theirIn, theirOut
			return writeHalf{in}, out
		},
		"pipe and socket": func(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, io.ReadCloser) {
			r, w := pipe(t)
			out, theirs := pair(t)
			cmd.Stdin, cmd.Stdout = r, theirs
			return w, out
		},
	}
}

// TestStdio runs an echo over the standard streams of a child, which ends its
// output before itself.
func TestStdio(t *testing.T) {
	for name, wire := range wirings() {
		t.Run(name, func(t *testing.T) {
			cmd := helper(t, "stdio")
			in, out := wire(t, cmd)
			stderr := &syncBuffer{}
			cmd.Stderr = stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmd.Stdin.(*os.File).Close()
			cmd.Stdout.(*os.File).Close()
			sent := make([]byte, 1<<20)
			rand.Read(sent)
			go func() {
				in.Write(sent)
				in.Close()
			}()
			got, err := io.ReadAll(out)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
			}
			if err := cmd.Wait(); err != nil || stderr.String() != "stdio ended\n" {
				t.Errorf("child: %v, %s", err, stderr.String())
			}
		})
	}
}

func TestStdioRefuses(t *testing.T) {
	r, w := pipe(t)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dgram, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dgram.Close()
	udp, err := dgram.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, tt := range []struct {
		in, out *os.File
		want    string
	}{
		{null, w, "standard input is a terminal or another device"},
		{r, null, "standard output is a terminal or another device"},
		{file, w, "standard input is a regular file"},
		{r, file, "standard output is a regular file"},
		{udp, w, "standard input is a socket that is not a stream"},
	} {
		cmd := helper(t, "stdio")
		cmd.Stdin, cmd.Stdout = tt.in, tt.out
		stderr := &bytes.Buffer{}
		cmd.Stderr = stderr
		if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%v, %s, want %q", err, stderr, tt.want)
		}
	}
	if _, err := standard(1<<20, 1<<20); !errors.Is(err, unix.EBADF) {
		t.Errorf("closed: %v", err)
	}
}

// here makes a connection of descriptors of this process.
func here(t *testing.T, in, out *os.File) *stdioConn {
	t.Helper()
	inFD, err := unix.Dup(int(in.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	outFD, err := unix.Dup(int(out.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(inFD); unix.Close(outFD) })
	c, err := standard(inFD, outFD)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nonblocking(t *testing.T, f *os.File) bool {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	err = control(raw, func(fd int) error {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK != 0
}

// TestStdioLeavesBlocking looks at the descriptions through other holders.
func TestStdioLeavesBlocking(t *testing.T) {
	noNewFiles(t)
	_, theirs := pair(t)
	c := here(t, theirs, theirs)
	if c.in != c.out {
		t.Error("one socket became two ends")
	}
	c.Close()
	if nonblocking(t, theirs) {
		t.Error("the socket is left non-blocking")
	}
	r, w := pipe(t)
	r.Fd() // makes it blocking
	w.Fd()
	c = here(t, r, w)
	if c.in.shared < 0 && (nonblocking(t, r) || nonblocking(t, w)) {
		t.Error("pipes are non-blocking for others while they are used")
	}
	c.Close()
	if nonblocking(t, r) || nonblocking(t, w) {
		t.Error("pipes are left non-blocking")
	}
}

// TestStdioSharedPipe is the way without /proc.
func TestStdioSharedPipe(t *testing.T) {
	noNewFiles(t)
	r, w := pipe(t)
	r.Fd()
	e, err := shareEnd(int(r.Fd()), false)
	if err != nil {
		t.Fatal(err)
	}
	if !nonblocking(t, e.file) {
		t.Error("not non-blocking")
	}
	w.Write([]byte("x"))
	if n, err := e.file.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := e.file.Read(make([]byte, 1))
		ended <- err
	}()
	e.close()
	e.close()
	if err := receive(t, ended); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if nonblocking(t, r) {
		t.Error("left non-blocking")
	}
}

func TestStdioCloseUnblocks(t *testing.T) {
	noNewFiles(t)
	_, theirs := pair(t)
	r, _ := pipe(t)
	_, w := pipe(t)
	for _, c := range []*stdioConn{here(t, theirs, theirs), here(t, r, w)} {
		read, written := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		go func() {
			var err error
			for err == nil {
				_, err = c.Write(make([]byte, 1<<20))
			}
			written <- err
		}()
		c.Close()
		c.Close()
		if err := receive(t, read); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if err := receive(t, written); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
	}
}

// TestStdioReaderGone writes to a pipe that nobody reads any more: an error,
// and no signal that ends the process.
func TestStdioReaderGone(t *testing.T) {
	noNewFiles(t)
	r, w := pipe(t)
	in, _ := pipe(t)
	r.Close() // cannot be opened anew then
	c := here(t, in, w)
	defer c.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write: %v", err)
	}
}
