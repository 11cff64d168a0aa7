package proto

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// declaredCodes are the values of the constants of type Code in errcode.go.
func declaredCodes(t *testing.T) (out []Code) {
	file, err := parser.ParseFile(token.NewFileSet(), "errcode.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Code" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Code(value))
		}
		return true
	})
	return out
}

// TestCodesBothWays: every constant has its row and every row its constant, in
// the same order, and no two share a name or a text.
func TestCodesBothWays(t *testing.T) {
	if got, want := Codes(), declaredCodes(t); !slices.Equal(got, want) {
		t.Errorf("the table has %v, the constants are %v", got, want)
	}
	texts := map[string]Code{}
	for _, c := range Codes() {
		if other, ok := texts[c.Error()]; ok {
			t.Errorf("%s and %s have the same text", c, other)
		}
		texts[c.Error()] = c
		if !c.Known() || c.Error() == Code("other").Error() {
			t.Errorf("%s is not in the table", c)
		}
		if s := c.ExitStatus(); s != 126 && s != 127 && s != 255 {
			t.Errorf("%s exits with %d", c, s)
		}
		m, err := Decode(mustAppend(t, &Message{Refused: &Refused{ID: 1, Code: c}})[4:])
		if err != nil || m.Refused.Code != c {
			t.Errorf("%s over the wire is %v, %v", c, m, err)
		}
	}
}

func TestCodeIsAnError(t *testing.T) {
	err := fmt.Errorf("ls: %w", CodeNotFound)
	if !errors.Is(err, CodeNotFound) || errors.Is(err, CodeBusy) {
		t.Error("errors.Is does not tell codes apart")
	}
	later := Code("quota_exceeded")
	if later.Known() || later.ExitStatus() != 255 || later.Error() == "" {
		t.Errorf("a later code is %q, %d", later.Error(), later.ExitStatus())
	}
}

// TestCodesAreSpecified compares the table with the one of PROTOCOL.md.
func TestCodesAreSpecified(t *testing.T) {
	section := specSection(t, readSpec(t), "## 11. Error codes")
	var got []Code
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]+) \\|").FindAllStringSubmatch(section, -1) {
		code := Code(row[1])
		got = append(got, code)
		if strconv.Itoa(code.ExitStatus()) != row[2] {
			t.Errorf("%s exits with %s in the specification", code, row[2])
		}
	}
	if !slices.Equal(got, Codes()) {
		t.Errorf("the specification has %v", got)
	}
}
