//go:build unix

package session_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing/iotest"
)

// Parity: Stdin, Stdout and Stderr.

func makeDir(name string) error { return os.Mkdir(name, 0o700) }

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// noise is n bytes that no compression or luck gets right.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// endless gives the same byte for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'e'
	}
	return len(p), nil
}

func stdinCases() []parityCase {
	from := func(name string, arg ...string) func(stdin func(w *world) io.Reader) func(w *world) {
		return func(stdin func(w *world) io.Reader) func(w *world) {
			return func(w *world) {
				c := w.cmd(name, arg...)
				*c.fields().Stdin = stdin(w)
				w.run(c)
			}
		}
	}
	cat, sum, head := from("cat"), from("sha256sum"), from("head", "-c", "5")
	text := func(s string) func(*world) io.Reader {
		return func(*world) io.Reader { return strings.NewReader(s) }
	}
	content := func(name, content string) func(w *world) io.Reader {
		return func(w *world) io.Reader { return w.open(w.file(name, content, 0o600), os.O_RDWR) }
	}
	return []parityCase{
		{"stdin nil", func(w *world) { w.run(w.sh("readlink /proc/self/fd/0; cat; echo end")) }},
		{"stdin reader", cat(text("hello\nworld"))},
		{"stdin empty reader", cat(text(""))},
		{"stdin large", sum(func(*world) io.Reader { return bytes.NewReader(noise(amount(8 << 20))) })},
		{"stdin byte by byte", cat(func(*world) io.Reader { return iotest.OneByteReader(strings.NewReader("one by one")) })},
		{"stdin data with its end", cat(func(*world) io.Reader { return iotest.DataErrReader(strings.NewReader("both")) })},
		{"stdin large not read", from("true")(func(*world) io.Reader { return bytes.NewReader(noise(amount(8 << 20))) })},
		{"stdin endless and true", from("true")(func(*world) io.Reader { return endless{} })},
		{"stdin endless and head", head(func(*world) io.Reader { return iotest.OneByteReader(endless{}) })},
		{"stdin closed early, output later", func(w *world) {
			c := w.sh("exec <&-; seq 1 100000; exit 3")
			*c.fields().Stdin = endless{}
			w.run(c)
		}},
		{"stdin file", cat(content("in", "from a file\n"))},
		{"stdin empty file", cat(content("in", ""))},
		{"stdin large file", sum(content("in", string(noise(amount(3<<20)))))},
		{"stdin file with head", head(content("in", strings.Repeat("abc", 100000)))},
		{"stdin file at an offset", cat(func(w *world) io.Reader {
			f := w.open(w.file("in", "0123456789", 0o600), os.O_RDWR)
			_, err := f.Seek(7, io.SeekStart)
			w.must(err)
			return f
		})},
		{"stdin /dev/null file", cat(func(w *world) io.Reader { return w.open(os.DevNull, os.O_RDWR) })},
		{"stdin pipe that ends", cat(func(w *world) io.Reader {
			r, wr := w.pipe()
			_, err := wr.WriteString("through a pipe")
			w.must(errors.Join(err, wr.Close()))
			return r
		})},
		{"stdin pipe that never ends", from("true")(func(w *world) io.Reader { r, _ := w.pipe(); return r })},
		{"stdin pipe with head", head(func(w *world) io.Reader {
			r, wr := w.pipe()
			_, err := wr.WriteString("some more than five")
			w.must(err)
			return r
		})},
		{"stdin file closed after Start", func(w *world) {
			r, wr := w.pipe()
			c := w.cmd("cat")
			var out strings.Builder
			*c.fields().Stdin, *c.fields().Stdout = r, &out
			w.must(c.Start())
			w.noteErr("close", finish(w, "Close", r.Close))
			_, err := wr.WriteString("later")
			w.must(errors.Join(err, wr.Close()))
			w.noteEnd(c, finish(w, "Wait", c.Wait))
			w.note("stdout", out.String())
		}},
	}
}

// failing is a writer that takes some bytes and then fails.
type failing struct {
	room int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	if n < len(p) {
		return n, f.err
	}
	return n, nil
}

// sliceWriter cannot be compared.
type sliceWriter []*strings.Builder

func (s sliceWriter) Write(p []byte) (int, error) { return s[0].Write(p) }

func outputCases() []parityCase {
	into := func(script string, stdout io.Writer) func(w *world) {
		return func(w *world) {
			c := w.sh(script)
			if f, ok := stdout.(*failing); ok {
				stdout := *f
				*c.fields().Stdout = &stdout
			} else {
				*c.fields().Stdout = stdout
			}
			w.run(c)
		}
	}
	return []parityCase{
		{"stdout nil", func(w *world) {
			c := w.sh(`x=$(readlink /proc/$$/fd/1); echo "$x" >&2; seq 1 100000`)
			var stderr strings.Builder
			*c.fields().Stderr = &stderr
			w.noteEnd(c, c.Run())
			w.note("stderr", stderr.String())
		}},
		{"stderr nil", func(w *world) {
			c := w.sh("readlink /proc/$$/fd/2; seq 1 100000 >&2")
			var stdout strings.Builder
			*c.fields().Stdout = &stdout
			w.noteEnd(c, c.Run())
			w.note("stdout", stdout.String())
		}},
		{"all nil", func(w *world) { c := w.sh("seq 1 100000; seq 1 100000 >&2; cat"); w.noteEnd(c, c.Run()) }},
		{"stdout and stderr apart", func(w *world) { w.run(w.sh("echo out; echo err >&2; echo out")) }},
		{"stdout large", func(w *world) { w.run(w.cmd("seq", "1", fmt.Sprint(amount(1000000)))) }},
		{"stderr large", func(w *world) { w.run(w.sh(fmt.Sprintf("seq 1 %d >&2", amount(1000000)))) }},
		{"both large", func(w *world) { w.run(w.sh("seq 1 300000 >&2 & seq 1 300000; wait")) }},
		{"stdout all bytes", func(w *world) {
			c := w.cmd("cat")
			var all [256]byte
			for i := range all {
				all[i] = byte(i)
			}
			*c.fields().Stdin = bytes.NewReader(all[:])
			w.run(c)
		}},
		{"stdout file", func(w *world) {
			f := w.open(w.dir+"/out", os.O_RDWR)
			c := w.sh("seq 1 50000")
			*c.fields().Stdout = f
			w.noteEnd(c, c.Run())
			w.note("content", brief([]byte(w.read(f.Name()))))
		}},
		{"one file for both", func(w *world) {
			f := w.open(w.dir+"/out", os.O_RDWR)
			c := w.sh("for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done")
			*c.fields().Stdout, *c.fields().Stderr = f, f
			w.noteEnd(c, c.Run())
			w.note("content", w.read(f.Name()))
		}},
		{"one writer for both", func(w *world) {
			var both bytes.Buffer
			c := w.sh("for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done")
			*c.fields().Stdout, *c.fields().Stderr = &both, &both
			w.noteEnd(c, c.Run())
			w.note("both", both.String())
		}},
		{"writers that cannot be compared", func(w *world) {
			var out, err strings.Builder
			c := w.sh("echo o; echo e >&2")
			*c.fields().Stdout, *c.fields().Stderr = sliceWriter{&out}, sliceWriter{&err}
			w.noteEnd(c, c.Run())
			w.note("apart", out.String(), err.String())
		}},
		{"writer fails, command dies of it", into("exec yes", &failing{100000, errCustom})},
		{"writer fails at once", into("exec yes", &failing{0, errCustom})},
		{"writer fails, command does not care", into("echo x; exit 0", &failing{0, errCustom})},
		{"writer fails, command exits 3", into("echo x; exit 3", &failing{0, errCustom})},
		{"writer is short", into("echo hello", &failing{2, nil})},
		{"stdout fails, stderr goes on", func(w *world) {
			var stderr bytes.Buffer
			c := w.sh(`trap "" PIPE; while echo x 2>/dev/null; do :; done; seq 1 1000 >&2; exit 4`)
			*c.fields().Stdout, *c.fields().Stderr = &failing{10, errCustom}, &stderr
			w.noteEnd(c, finish(w, "Run", c.Run))
			w.note("stderr", brief(stderr.Bytes()))
		}},
		{"Output", func(w *world) {
			out, err := w.sh("echo out; echo err >&2").Output()
			w.note("out", string(out))
			w.noteErr("err", err)
		}},
		{"Output captures stderr", func(w *world) {
			out, err := w.sh("echo out; echo err >&2; exit 5").Output()
			w.note("out", string(out))
			w.noteErr("err", err)
			w.note("captured", captured(err))
		}},
		{"Output captures a part of a long stderr", func(w *world) {
			_, err := w.sh("seq 1 30000 >&2; exit 5").Output()
			w.note("captured", brief([]byte(captured(err))))
		}},
		{"Output captures 64 KiB of stderr", func(w *world) {
			_, err := w.sh("head -c 65536 /dev/zero >&2; exit 5").Output()
			w.note("captured", brief([]byte(captured(err))))
			_, err = w.sh("head -c 65537 /dev/zero >&2; exit 5").Output()
			w.note("captured", brief([]byte(captured(err))))
		}},
		{"Output with Stderr set", func(w *world) {
			var stderr bytes.Buffer
			c := w.sh("echo err >&2; exit 5")
			*c.fields().Stderr = &stderr
			_, err := c.Output()
			w.note("captured", captured(err), " stderr ", stderr.String())
		}},
		{"Output of nothing", func(w *world) {
			out, err := w.cmd("true").Output()
			w.note("out", len(out))
			w.noteErr("err", err)
		}},
		{"Output not found", func(w *world) {
			out, err := w.cmd("no-such-program-anywhere").Output()
			w.note("out", len(out))
			w.noteErr("err", err)
		}},
		{"CombinedOutput keeps the order", func(w *world) {
			out, err := w.sh("for i in $(seq 1 200); do echo o$i; echo e$i >&2; done; exit 9").CombinedOutput()
			w.note("out", string(out))
			w.noteErr("err", err)
		}},
	}
}
