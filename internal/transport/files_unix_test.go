//go:build linux || darwin || freebsd

package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/proto"
)

// commandFrame is the login of a connection for one command.
func commandFrame(t testing.TB) []byte {
	t.Helper()
	frame, err := (&proto.Auth{Mode: proto.AuthDescriptors, User: currentUser()}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// readAllFiles reads n bytes and what comes with them.
func readAllFiles(t *testing.T, conn *UnixConn, n int) (b []byte, files []int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for len(b) < n {
		m, got, err := conn.ReadFiles(buf[:min(len(buf), n-len(b))])
		if err != nil {
			t.Fatal(err)
		}
		b, files = append(b, buf[:m]...), append(files, got...)
	}
	return b, files
}

// TestDialUnixCommand: the files arrive with the first byte, close-on-exec, and
// bytes alone come with none. The frame is larger than a socket holds.
func TestDialUnixCommand(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := bytes.Repeat([]byte("frame"), 300_000)
	dialed := make(chan error, 1)
	go func() {
		c, err := DialUnixCommand(t.Context(), l.path, "", first, []int{int(w.Fd()), int(w.Fd())})
		w.Close()
		if err == nil {
			_, err = c.Write([]byte("more"))
			defer c.Close()
		}
		dialed <- err
	}()
	conn := receive(t, logins).conn
	defer conn.Close()
	if !conn.ForCommand() || conn.User() != currentUser() {
		t.Errorf("for a command: %v, of %q", conn.ForCommand(), conn.User())
	}
	got, files := readAllFiles(t, conn, len(first))
	if !bytes.Equal(got, first) || len(files) != 2 {
		t.Fatalf("%d bytes and %d files came", len(got), len(files))
	}
	for _, fd := range files {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d has flags %x, %v", fd, flags, err)
		}
	}
	closeAll(files)
	if err := <-dialed; err != nil {
		t.Fatal(err)
	}
	if got, files := readAllFiles(t, conn, 4); string(got) != "more" || len(files) != 0 {
		t.Errorf("then %q and %d files", got, len(files))
	}
	if n, files, err := conn.ReadFiles(make([]byte, 8)); n != 0 || files != nil || err != io.EOF {
		t.Errorf("then %d, %v, %v", n, files, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the pipe is still held: %v", err)
	}
}

// TestTooManyFiles: what is beyond the bound, and what came with it, is closed.
func TestTooManyFiles(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	for _, count := range []int{proto.MaxFiles, proto.MaxFiles + 1, 253} {
		c := rawDial(t, l)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(commandFrame(t))
		if _, _, err := c.WriteMsgUnix([]byte("x"), unix.UnixRights(slices.Repeat([]int{int(w.Fd())}, count)...), nil); err != nil {
			t.Fatal(err)
		}
		w.Close()
		conn := receive(t, logins).conn
		_, files, err := conn.ReadFiles(make([]byte, 8))
		if count <= proto.MaxFiles && (err != nil || len(files) != count) {
			t.Errorf("%d files: %d came, %v", count, len(files), err)
		}
		if count > proto.MaxFiles && (!errors.Is(err, errRights) || files != nil) {
			t.Errorf("%d files: %d came, %v", count, len(files), err)
		}
		closeAll(files)
		r.SetReadDeadline(time.Now().Add(patience))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%d files: the pipe is still held: %v", count, err)
		}
		_, _, _ = r.Close(), conn.Close(), c.Close()
	}
}

// TestReadFilesNeedsLogin: before the login nothing is read.
func TestReadFilesNeedsLogin(t *testing.T) {
	l := listen(t, UnixOptions{})
	rawDial(t, l)
	conn := accept(t, l)
	defer conn.Close()
	if _, _, err := conn.ReadFiles(make([]byte, 1)); !errors.Is(err, ErrNotAuthenticated) || conn.ForCommand() {
		t.Errorf("%v, for a command: %v", err, conn.ForCommand())
	}
}
