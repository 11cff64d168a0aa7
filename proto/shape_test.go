package proto

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// TestTablesAgreeWithStructs compares the tables of kinds.go with the structs
// that messages are decoded into.
func TestTablesAgreeWithStructs(t *testing.T) {
	message := reflect.TypeFor[Message]()
	if message.NumField() != len(kinds) {
		t.Errorf("%d kinds in Message, %d in the table", message.NumField(), len(kinds))
	}
	for i := range message.NumField() {
		name, _, _ := strings.Cut(message.Field(i).Tag.Get("cbor"), ",")
		k := kindNamed(name)
		if k == nil {
			t.Errorf("no kind %s in the table", name)
			continue
		}
		compareFields(t, name, message.Field(i).Type.Elem(), k.fields)
	}
}

func compareFields(t *testing.T, path string, typ reflect.Type, fields []field) {
	if typ.NumField() != len(fields) {
		t.Errorf("%s: %d fields in the struct, %d in the table", path, typ.NumField(), len(fields))
		return
	}
	for i, f := range fields {
		sf := typ.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("cbor"), ",")
		if name != f.name {
			t.Errorf("%s.%s: the table says %s", path, name, f.name)
		}
		if required := !strings.Contains(options, "omit"); required != f.required {
			t.Errorf("%s.%s: required is %v in the table", path, name, f.required)
		}
		if got := fieldTypeOf(sf.Type); got != f.typ {
			t.Errorf("%s.%s: type %d in the table, %d in the struct", path, name, f.typ, got)
		}
		if f.typ == typeMap {
			compareFields(t, path+"."+name, sf.Type.Elem(), f.fields)
		}
	}
}

func fieldTypeOf(typ reflect.Type) fieldType {
	switch typ {
	case reflect.TypeFor[[]byte]():
		return typeBytes
	case reflect.TypeFor[[][]byte](), reflect.TypeFor[Names]():
		return typeBytesList
	case reflect.TypeFor[[]string]():
		return typeTexts
	case reflect.TypeFor[[]uint32]():
		return typeUints
	case reflect.TypeFor[map[string]uint32]():
		return typeModes
	}
	switch typ.Kind() {
	case reflect.Bool:
		return typeBool
	case reflect.String:
		return typeText
	case reflect.Pointer:
		if typ.Elem().Kind() == reflect.Struct {
			return typeMap
		}
	}
	return typeUint
}

// minimal is a body with the required fields only.
func minimal(fields []field) map[string]any {
	body := make(map[string]any)
	for _, f := range fields {
		if f.required {
			body[f.name] = valueOf(f, f.min)
		}
	}
	return body
}

// valueOf is a value of the field whose size is n: the integer, or so many
// bytes in each string.
func valueOf(f field, n uint64) any {
	letter := "a"
	if f.chars != nil && !f.chars('a') {
		letter = "A"
	}
	text := func() string { return strings.Repeat(letter, int(n)) }
	switch f.typ {
	case typeUint:
		return n
	case typeBool:
		return true
	case typeText:
		if f.oneOf != nil {
			return f.oneOf[0]
		}
		return text()
	case typeBytes:
		return []byte(text())
	case typeTexts:
		return []string{text()}
	case typeBytesList:
		return [][]byte{[]byte(text())}
	case typeUints:
		return []uint64{n}
	case typeModes:
		return map[string]any{text(): 0}
	}
	return minimal(f.fields)
}

// countOf is a value of the field with n elements.
func countOf(f field, n uint64) any {
	switch f.typ {
	case typeTexts:
		return slices.Repeat([]string{"a"}, int(n))
	case typeBytesList:
		return slices.Repeat([][]byte{{}}, int(n))
	case typeUints:
		return slices.Repeat([]uint64{1}, int(n))
	}
	modes := make(map[string]any)
	for i := range n {
		modes[fmt.Sprintf("m%d", i)] = 0
	}
	return modes
}

// A shapeCase is one variation of a field.
type shapeCase struct {
	what  string
	value any
	bad   bool
}

// variations are values at the edges of a field and one beyond, and of every
// other type.
func variations(f field) []shapeCase {
	cases := []shapeCase{{"null", nil, true}, {"a float", 1.5, true}, {"negative", -1, true}}
	others := map[fieldType]any{
		typeUint: uint64(1), typeBool: true, typeText: "kill", typeBytes: []byte("a"),
		typeTexts: []string{"a"}, typeBytesList: [][]byte{{'a'}}, typeUints: []uint64{1}, typeMap: map[string]any{"a": 1},
	}
	for typ, value := range others {
		if typ != f.typ && !(typ == typeMap && f.typ == typeModes) {
			cases = append(cases, shapeCase{fmt.Sprintf("type %d", typ), value, true})
		}
	}
	if f.typ != typeBool && f.typ != typeMap && f.oneOf == nil {
		cases = append(cases, shapeCase{"the largest", valueOf(f, f.max), f.max == maxBytes})
		if f.max != maxBytes {
			cases = append(cases, shapeCase{"one beyond", valueOf(f, f.max+1), true})
		}
		if f.min > 0 {
			cases = append(cases, shapeCase{"one below", valueOf(f, f.min-1), true})
		}
	}
	if f.count > 0 {
		cases = append(cases, shapeCase{"the most", countOf(f, f.count), false},
			shapeCase{"one too many", countOf(f, f.count+1), true})
	}
	for _, s := range f.oneOf {
		cases = append(cases, shapeCase{s, s, false})
	}
	if f.oneOf != nil {
		cases = append(cases, shapeCase{"another word", "other", true}, shapeCase{"no word", "", true})
	}
	if f.chars != nil && f.typ == typeText {
		cases = append(cases, shapeCase{"a control character", "A\x1b", true}, shapeCase{"a space", "a b", true})
	}
	return cases
}

// TestShapes varies every field of every kind, one at a time.
func TestShapes(t *testing.T) {
	for _, k := range kinds {
		testShape(t, k.name, k.fields, func(body map[string]any) any {
			return map[string]any{k.name: body}
		})
	}
	base := minimal(kindNamed("exec").fields)
	testShape(t, "exec.term", termFields, func(term map[string]any) any {
		body := maps.Clone(base)
		body["term"] = term
		return map[string]any{"exec": body}
	})
	testShape(t, "exited.signal", signalInfoFields, func(signal map[string]any) any {
		return map[string]any{"exited": map[string]any{"code": 0, "signal": signal}}
	})
}

func testShape(t *testing.T, path string, fields []field, wrap func(map[string]any) any) {
	try := func(what string, bad bool, body map[string]any) {
		t.Helper()
		item, err := cbor.Marshal(wrap(body))
		if err != nil {
			t.Fatal(err)
		}
		err = checkShape(item)
		if (err != nil) != bad {
			t.Errorf("%s %s: error %v, want one: %v", path, what, err, bad)
		}
		if err != nil && !strings.Contains(err.Error(), strings.ReplaceAll(path, ".", ": ")) && len(item) <= MaxExecFrame {
			t.Errorf("%s %s: error %v does not say where", path, what, err)
		}
	}
	try("minimal", false, minimal(fields))
	for _, f := range fields {
		body := minimal(fields)
		delete(body, f.name)
		try("without "+f.name, f.required, body)
		for _, c := range variations(f) {
			body[f.name] = c.value
			try(f.name+" "+c.what, c.bad, body)
		}
	}
	body := minimal(fields)
	body["surprise"] = 1
	try("with an unknown field", true, body)
}

func TestShapeAllocatesNothing(t *testing.T) {
	for _, m := range samples() {
		frame, err := Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(10, func() { _ = checkShape(frame[4:]) }); n != 0 {
			t.Errorf("%s: %v allocations", m.Kind(), n)
		}
	}
}

// TestShapeRefusesBeforeAllocating gives the decoder small items that announce
// a lot.
func TestShapeRefusesBeforeAllocating(t *testing.T) {
	for _, item := range []string{
		"a164657865631a", "a16465786563a164617267769bffffffffffffffff", "a16465786563a164617267765b7fffffffffffffff",
		"a16465786563bbffffffffffffffff", "bbffffffffffffffff", "7bffffffffffffffff",
		"a1677374617274656 4a16b64726f707065645f656e769a00001000",
	} {
		body, err := expandHex(strings.ReplaceAll(item, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		bytes := allocatedBy(func() { _, err = Decode(body) })
		if err == nil || bytes > 4<<10 {
			t.Errorf("%s: %v, %d bytes allocated", item, err, bytes)
		}
	}
}
