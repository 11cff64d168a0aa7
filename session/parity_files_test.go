//go:build unix

package session_test

import (
	"os"
	"path/filepath"
)

// Parity: ExtraFiles.

// extraCases are about ExtraFiles.
func extraCases() []parityCase {
	with := func(script string, files func(w *world) []*os.File) func(w *world) {
		return func(w *world) {
			c := w.sh(script)
			*c.fields().ExtraFiles = files(w)
			w.run(c)
			for _, name := range []string{"a", "b"} {
				if _, err := os.Stat(filepath.Join(w.dir, name)); err == nil {
					w.note(name, w.read(filepath.Join(w.dir, name)))
				}
			}
		}
	}
	file := func(w *world, name string) *os.File { return w.open(w.file(name, "of "+name+"\n", 0o600), os.O_RDWR) }
	return []parityCase{
		{"ExtraFiles", with("cat <&3; echo to b >&4", func(w *world) []*os.File { return []*os.File{file(w, "a"), file(w, "b")} })},
		{"ExtraFiles, the same twice", with("read x <&3; echo $x; echo more >&4", func(w *world) []*os.File {
			a := file(w, "a")
			return []*os.File{a, a}
		})},
		{"ExtraFiles, none", with("exec 2>/dev/null; echo x >&3 || echo closed", func(*world) []*os.File { return []*os.File{} })},
		{"ExtraFiles, a pipe", with("echo through >&3", func(w *world) []*os.File {
			_, wr := w.pipe()
			return []*os.File{wr}
		})},
		{"ExtraFiles, no such program", func(w *world) {
			c := w.cmd("no-such-program")
			*c.fields().ExtraFiles = []*os.File{file(w, "a")}
			w.run(c)
		}},
	}
}
