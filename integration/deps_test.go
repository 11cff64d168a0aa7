package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module begins the import path of every package of this repository.
const module = "github.com/rexec/rex"

// edges is the whole graph of imports inside this repository, tests excepted:
// what each package may import, and does. A new edge is a line here.
var edges = map[string][]string{
	"cmd/rex":                          {"internal/cli", "internal/testnet"},
	"cmd/rexd":                         {"internal/daemon", "internal/testnet"},
	"integration":                      nil,
	"integration/bench":                {"session"},
	"integration/longlink":             nil,
	"internal/account":                 {"internal/process/asuser"},
	"internal/auth":                    nil,
	"internal/auth/authkeys":           {"internal/auth"},
	"internal/auth/authorize":          {"internal/account", "internal/auth", "internal/auth/authkeys", "internal/auth/revoked", "internal/process/asuser"},
	"internal/auth/knownhosts":         {"internal/auth"},
	"internal/auth/revoked":            {"internal/auth"},
	"internal/cli":                     {"internal/auth", "internal/daemon", "internal/login", "internal/term", "internal/transport", "proto", "session"},
	"internal/daemon":                  {"internal/auth", "internal/auth/authorize", "internal/service", "internal/transport", "proto", "session", "session/execd"},
	"internal/listentest":              nil,
	"internal/login":                   {"internal/auth", "internal/auth/knownhosts", "internal/auth/revoked", "internal/transport", "proto"},
	"internal/process":                 {"internal/process/asuser", "internal/process/internal/cgroup", "internal/process/internal/procfs"},
	"internal/process/asuser":          nil,
	"internal/process/internal/cgroup": {"internal/process/internal/procfs"},
	"internal/process/internal/procfs": nil,
	"internal/service":                 {"internal/transport", "session"},
	"internal/term":                    nil,
	"internal/testnet":                 {"session/sessiontest"}, // built with the tag testnet only
	"internal/transport":               {"internal/auth", "mux", "proto"},
	"mux":                              nil,
	"mux/muxtest":                      {"mux"},
	"proto":                            nil,
	"session":                          {"internal/login", "internal/transport", "mux", "proto"},
	"session/execd":                    {"internal/account", "internal/process", "proto", "session"},
	"session/sessiontest":              {"session", "session/execd"},
}

// oneFile names the edges that only one file may use.
var oneFile = map[[2]string]string{
	{"internal/cli", "internal/daemon"}: "local_unix.go", // for local:
	{"session", "internal/login"}:       "dial.go",
	{"session", "internal/transport"}:   "dial.go", // everything else gets its connection from the caller
}

// doors says which packages import a module of others, tests excepted.
var doors = map[string][]string{
	"github.com/creack/pty":           {"internal/process"},
	"github.com/fxamacker/cbor/v2":    {"proto"},
	"github.com/hashicorp/yamux":      {"mux"},
	"github.com/pelletier/go-toml":    {"internal/daemon"},
	"github.com/spf13/cobra":          {"internal/cli"},
	"github.com/spf13/pflag":          {"internal/cli"},
	"golang.org/x/crypto":             {"internal/auth", "internal/auth/authkeys", "internal/auth/authorize", "internal/auth/knownhosts", "internal/auth/revoked"},
	"golang.org/x/net":                nil, // tests only
	"golang.org/x/sys":                {"integration/bench", "integration/longlink", "internal/process", "internal/process/asuser", "internal/process/internal/cgroup", "internal/process/internal/procfs", "internal/term", "internal/transport", "session"},
	"golang.org/x/term":               {"internal/term"},
	"github.com/google/go-cmp":        nil, // tests only, as are the rest
	"github.com/rogpeppe/go-internal": nil,
	"go.uber.org/goleak":              nil,
	"pgregory.net/rapid":              nil,
}

// anyTest lists the modules that tests of every package may import; the others
// are for the tests of their door.
var anyTest = []string{
	"github.com/creack/pty", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "go.uber.org/goleak",
	"golang.org/x/net", "golang.org/x/sys", "pgregory.net/rapid",
}

// goPackage is what go list says of one.
type goPackage struct {
	ImportPath string
	Dir        string
	Name       string
	Export     string
	Standard   bool
	CgoFiles   []string
	Module     *struct{ Path string }
}

// goList runs go list in the module's root.
func goList(t *testing.T, env []string, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Name,Export,Standard,CgoFiles,Module"}, args...)...)
	cmd.Dir = moduleRoot(t)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// moduleRoot is the directory of go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
	}
}

// trackedFiles lists the files of the repository, those that are about to be
// committed too, by their names relative to the module's root.
func trackedFiles(t *testing.T) (names []string) {
	t.Helper()
	root := moduleRoot(t)
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("needs git and a clone: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	if len(names) < 50 {
		t.Fatalf("only %d files are tracked", len(names))
	}
	return names
}

// goFile is one parsed file of this repository, of whatever platform.
type goFile struct {
	pkg  string // relative to the module, such as internal/cli
	name string // relative to the module's root, with slashes
	test bool
	fset *token.FileSet
	ast  *ast.File
	text []byte
}

// imports lists the paths that the file imports.
func (f *goFile) imports() (paths []string) {
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

func (f *goFile) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(n.Pos()).Line)
}

// goFiles parses all Go files of the repository, those of other platforms too.
func goFiles(t *testing.T) (files []*goFile) {
	t.Helper()
	root := moduleRoot(t)
	for _, name := range trackedFiles(t) {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		f := &goFile{pkg: path.Dir(name), name: name, test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet(), text: text}
		if f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// TestImportDirection holds the graph of imports to the table, both ways.
func TestImportDirection(t *testing.T) {
	used := make(map[[2]string]bool)
	packages := make(map[string]bool)
	for _, f := range goFiles(t) {
		packages[f.pkg] = true
		if f.test {
			continue
		}
		for _, imported := range f.imports() {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			used[[2]string{f.pkg, to}] = true
			if !slices.Contains(edges[f.pkg], to) {
				t.Errorf("%s: %s must not import %s", f.name, f.pkg, to)
			}
			if only := oneFile[[2]string{f.pkg, to}]; only != "" && path.Base(f.name) != only {
				t.Errorf("%s: only %s may import %s", f.name, path.Join(f.pkg, only), to)
			}
		}
	}
	for from, list := range edges {
		for _, to := range list {
			if !used[[2]string{from, to}] {
				t.Errorf("%s does not import %s: take it out of the table", from, to)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(packages)) {
		if _, ok := edges[pkg]; !ok {
			t.Errorf("package %s is not in the table", pkg)
		}
	}
}

// TestOneDoor: every module of others is imported by the packages named, and
// nowhere else.
func TestOneDoor(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, imported := range f.imports() {
			if !isThirdParty(imported) {
				continue
			}
			mod, packages, known := door(imported)
			switch {
			case !known:
				t.Errorf("%s: %s has no door in the table", f.name, imported)
			case slices.Contains(packages, f.pkg):
			case !f.test:
				t.Errorf("%s: %s must not import %s", f.name, f.pkg, imported)
			case !slices.Contains(anyTest, mod):
				t.Errorf("%s: only tests of %v may import %s", f.name, packages, imported)
			}
		}
	}
}

func isThirdParty(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".") && imported != module && !strings.HasPrefix(imported, module+"/")
}

func door(imported string) (mod string, packages []string, known bool) {
	for mod, packages := range doors {
		if imported == mod || strings.HasPrefix(imported, mod+"/") {
			return mod, packages, true
		}
	}
	return "", nil, false
}

// TestLinked says what programs and public packages do not drag in.
func TestLinked(t *testing.T) {
	const (
		yamux, cbor, float16 = "github.com/hashicorp/yamux", "github.com/fxamacker/cbor/v2", "github.com/x448/float16"
		sys, crypto          = "golang.org/x/sys", "golang.org/x/crypto"
	)
	const testNetworks = module + "/session/sessiontest"
	never := []string{"runtime/cgo", "net/http", "testing", "github.com/spf13/cobra/doc"}
	for _, c := range []struct {
		pkg, goos string
		modules   []string // all that may be linked; nil: whatever has a door
		without   []string
	}{
		{pkg: "proto", modules: []string{cbor, float16}, without: []string{"net", "os/exec", "log/slog", module + "/mux"}},
		{pkg: "mux", modules: []string{yamux}, without: []string{"os/exec", module + "/proto"}},
		{pkg: "session", modules: []string{yamux, cbor, float16, sys, crypto}, without: []string{module + "/internal/process", module + "/session/execd"}},
		{pkg: "session", goos: "windows", modules: []string{yamux, cbor, float16, sys, crypto}},
		{pkg: "internal/process", without: []string{module + "/session", module + "/mux", module + "/proto", "net"}},
		{pkg: "cmd/rexd", without: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", module + "/internal/cli", testNetworks}},
		{pkg: "cmd/rex", without: []string{testNetworks}},
		{pkg: "cmd/rex", goos: "windows", without: []string{
			module + "/internal/daemon", module + "/internal/process", module + "/session/execd",
			"github.com/creack/pty", "github.com/pelletier/go-toml/v2",
		}},
	} {
		t.Run(path.Join(c.pkg, c.goos), func(t *testing.T) {
			env := []string{"CGO_ENABLED=0"}
			if c.goos != "" {
				env = append(env, "GOOS="+c.goos)
			}
			for _, p := range goList(t, env, "-deps", "./"+c.pkg) {
				if slices.Contains(never, p.ImportPath) || slices.Contains(c.without, p.ImportPath) {
					t.Errorf("%s links %s", c.pkg, p.ImportPath)
				}
				if p.Standard || p.Module == nil || p.Module.Path == module || c.modules == nil {
					continue
				}
				if !slices.Contains(c.modules, p.Module.Path) {
					t.Errorf("%s links %s of module %s", c.pkg, p.ImportPath, p.Module.Path)
				}
			}
		})
	}
}

// TestTestnetTag: it takes the tag for the programs to have the test networks,
// without which TestLinked finds none.
func TestTestnetTag(t *testing.T) {
	for _, pkg := range []string{"cmd/rex", "cmd/rexd"} {
		linked := func(args ...string) bool {
			return slices.ContainsFunc(goList(t, nil, append(args, "-deps", "./"+pkg)...), func(p goPackage) bool {
				return p.ImportPath == module+"/session/sessiontest"
			})
		}
		if linked() || !linked("-tags", "testnet") {
			t.Errorf("%s has the test networks without the tag: %v, with it: %v", pkg, linked(), linked("-tags", "testnet"))
		}
	}
}

// TestExportedTypes: the signatures that users of the public packages meet have
// types of these packages and of the standard library only.
func TestExportedTypes(t *testing.T) {
	public := []string{"proto", "mux", "mux/muxtest", "session", "session/execd", "session/sessiontest"}
	args := []string{"-deps", "-export"}
	for _, pkg := range public {
		args = append(args, "./"+pkg)
	}
	exports := make(map[string]string)
	for _, p := range goList(t, nil, args...) {
		exports[p.ImportPath] = p.Export
	}
	compiled := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	for _, pkg := range public {
		p, err := compiled.Import(module + "/" + pkg)
		if err != nil {
			t.Fatal(err)
		}
		w := &typeWalker{pkg: p, seen: make(map[types.Type]bool)}
		for _, name := range p.Scope().Names() {
			if obj := p.Scope().Lookup(name); obj.Exported() {
				w.where = pkg + "." + name
				w.walk(obj.Type())
			}
		}
		for _, found := range w.found {
			t.Error(found)
		}
	}
}

// typeWalker follows the types that an exported name shows.
type typeWalker struct {
	pkg   *types.Package
	where string
	seen  map[types.Type]bool
	found []string
}

func (w *typeWalker) walk(t types.Type) {
	if t == nil || w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		w.walk(types.Unalias(t))
	case *types.Named:
		w.named(t)
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		w.walk(t.Elem())
	case *types.Signature:
		w.tuple(t.Params())
		w.tuple(t.Results())
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() || f.Embedded() {
				w.walk(f.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			w.walk(m.Type())
		}
	case *types.TypeParam:
		w.walk(t.Constraint())
	}
}

func (w *typeWalker) tuple(t *types.Tuple) {
	for v := range t.Variables() {
		w.walk(v.Type())
	}
}

func (w *typeWalker) named(t *types.Named) {
	for arg := range t.TypeArgs().Types() {
		w.walk(arg)
	}
	pkg := t.Obj().Pkg()
	switch {
	case pkg == nil: // error, comparable
		return
	case isThirdParty(pkg.Path()) || strings.Contains(pkg.Path(), "/internal/"):
		w.found = append(w.found, fmt.Sprintf("%s shows the type %s", w.where, t))
		return
	case pkg != w.pkg:
		return
	}
	w.walk(t.Underlying())
	for m := range t.Methods() {
		if m.Exported() {
			w.walk(m.Type())
		}
	}
}

// outside is what only main packages, and the file that collects the program's
// surroundings for them, may use.
var outside = map[string][]string{
	"os":       {"Exit", "Args", "Getenv", "LookupEnv", "Environ", "Setenv"},
	"log":      {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln", "Print", "Printf", "Println"},
	"log/slog": {"SetDefault", "Default"},
	"fmt":      {"Print", "Printf", "Println"},
	"flag":     {"Parse", "Arg", "Args", "String", "Int", "Bool", "Var"},
}

// surroundings are the files that look at what a program gets from outside: for
// the programs, and for users of session.Dial, who have an agent too.
var surroundings = []string{"internal/cli/env.go", "session/dial.go"}

// TestOnlyMainIsGlobal: what belongs to the whole process, only main touches.
// Other packages get what they need, return errors, and have no init.
func TestOnlyMainIsGlobal(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.ast.Name.Name == "main" || slices.Contains(surroundings, f.name) {
			continue
		}
		names := make(map[string]string)
		for _, spec := range f.ast.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			name := path.Base(p)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			names[name] = p
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(outside[names[x.Name]], n.Sel.Name) {
					t.Errorf("%s: %s.%s is for main", f.at(n), x.Name, n.Sel.Name)
				}
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: package %s has an init", f.at(n), f.pkg)
				}
			}
			return true
		})
	}
}
