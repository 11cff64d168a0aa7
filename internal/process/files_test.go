//go:build unix

package process

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// given is one end of a pipe whose number is for a Spec, and the other end.
func given(t *testing.T, write bool) (fd int, other *os.File) {
	t.Helper()
	r, w, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	ours := w
	fd = r
	if write {
		fd, ours = w, r
	}
	other = os.NewFile(uintptr(ours), "pipe")
	t.Cleanup(func() { _ = other.Close() })
	return fd, other
}

// isOpen reports whether the number is one of an open descriptor.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func TestFiles(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		in, feed := given(t, false)
		out, read := given(t, true)
		extra, more := given(t, true)
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte("of a file\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		spec := shell("cat; cat <&3; echo extra >&4; echo error >&2; ls /proc/self/fd 2>/dev/null || true")
		spec.Files = []int{in, out, out, file, extra}
		p := start(t, s, spec)
		if p.Stdin() != nil || p.Stdout() != nil || p.Stderr() != nil {
			t.Error("there are pipes")
		}
		for _, fd := range []int{in, out, file, extra} {
			if isOpen(fd) {
				t.Errorf("descriptor %d is still open here", fd)
			}
		}
		_, _ = io.WriteString(feed, "from stdin\n")
		_ = feed.Close()
		got, err := io.ReadAll(read) // to its end: nobody else holds it
		if err != nil {
			t.Fatal(err)
		}
		want := "from stdin\nof a file\nerror\n"
		if runtime.GOOS == "linux" {
			want += "0\n1\n2\n3\n4\n5\n" // 5 is that of ls for the directory
		}
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, _ := io.ReadAll(more); string(got) != "extra\n" {
			t.Errorf("descriptor 4 got %q", got)
		}
		if state, err := p.Wait(); err != nil || state.Code != 0 {
			t.Errorf("%+v, %v", state, err)
		}
	})
}

// TestFilesNull: -1 is /dev/null, and nothing is counted as an output.
func TestFilesNull(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		out, read := given(t, true)
		spec := shell("wc -c; echo lost >&2")
		spec.Files = []int{-1, out, -1}
		p := start(t, s, spec)
		got, _ := io.ReadAll(read)
		if strings.TrimSpace(string(got)) != "0" {
			t.Errorf("got %q", got)
		}
		if state, err := p.Wait(); err != nil || state.Code != 0 {
			t.Errorf("%+v, %v", state, err)
		}
	})
}

// TestFilesOfFailedStart: whatever goes wrong, they are closed, once.
func TestFilesOfFailedStart(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		for name, change := range map[string]func(*Spec){
			"not found":    func(s *Spec) { s.Path = "no-such-program" },
			"no directory": func(s *Spec) { s.Dir = "/no/such/directory" },
			"NUL":          func(s *Spec) { s.Args = []string{"a\x00"} },
			"terminal":     func(s *Spec) { s.Term = &Term{} },
			"too few":      func(s *Spec) { s.Files = s.Files[:2] },
			"a gap":        func(s *Spec) { s.Files = append(s.Files, -1) },
		} {
			in, feed := given(t, false)
			out, read := given(t, true)
			spec := command("true")
			spec.Files = []int{in, out, out}
			change(spec)
			if p, err := s.Start(background, spec); err == nil {
				_ = p.Release()
				t.Errorf("%s: started", name)
			}
			if isOpen(in) || isOpen(out) && name != "too few" {
				t.Errorf("%s: still open", name)
			}
			_, _ = feed.Close(), read.Close()
		}
	})
}

// TestFilesKeepTheirMode: a descriptor is the client's, and stays as it is.
func TestFilesKeepTheirMode(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		for _, nonblock := range []bool{false, true} {
			in, feed := given(t, false)
			if err := unix.SetNonblock(in, nonblock); err != nil {
				t.Fatal(err)
			}
			mine, err := unix.Dup(in)
			if err != nil {
				t.Fatal(err)
			}
			unix.CloseOnExec(mine)
			spec := command("true")
			spec.Files = []int{in, -1, -1}
			p := start(t, s, spec)
			if _, err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			flags, err := unix.FcntlInt(uintptr(mine), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_NONBLOCK != 0 != nonblock {
				t.Errorf("nonblocking is %v, it was %v (%v)", flags&unix.O_NONBLOCK != 0, nonblock, err)
			}
			_, _ = unix.Close(mine), feed.Close()
		}
	})
}
