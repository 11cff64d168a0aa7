//go:build unix

package integration

import (
	"debug/buildinfo"
	"debug/elf"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestNoCgo: nothing of C is compiled or linked. What is exchanged with the
// world is read by Go alone, and a program needs no library of its host.
func TestNoCgo(t *testing.T) {
	for _, f := range goFiles(t) {
		if slices.Contains(f.imports(), "C") {
			t.Errorf("%s imports C", f.name)
		}
	}
	for _, p := range goList(t, []string{"CGO_ENABLED=1"}, "-deps", "./...") {
		if len(p.CgoFiles) > 0 && !p.Standard {
			t.Errorf("%s has %q", p.ImportPath, p.CgoFiles)
		}
	}
}

// TestBuiltPrograms: what is built is what is linked into the programs, whose
// pedigree can be read from them.
func TestBuiltPrograms(t *testing.T) {
	for _, name := range []string{"rex", "rexd"} {
		info, err := buildinfo.ReadFile(program(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.GoVersion != runtime.Version() || info.Main.Path != module {
			t.Errorf("%s is of %s by %s", name, info.Main.Path, info.GoVersion)
		}
		for _, s := range info.Settings {
			if s.Key == "CGO_ENABLED" && s.Value != "0" {
				t.Errorf("%s: cgo is %s", name, s.Value)
			}
		}
		for _, dep := range info.Deps {
			if dep.Replace != nil || dep.Sum == "" {
				t.Errorf("%s: %s is not what go.sum has", name, dep.Path)
			}
			if _, _, known := door(dep.Path); !known && dep.Path != "github.com/x448/float16" { // of cbor
				t.Errorf("%s links %s", name, dep.Path)
			}
		}
		if runtime.GOOS == "linux" {
			staticELF(t, name)
		}
	}
}

// staticELF demands a program that loads no library and knows nothing of C.
func staticELF(t *testing.T, name string) {
	t.Helper()
	f, err := elf.Open(program(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s loads libraries: %v", name, p.Type)
		}
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "x_cgo_") || strings.HasPrefix(s.Name, "runtime/cgo.") {
			t.Errorf("%s has %s", name, s.Name)
		}
	}
}
