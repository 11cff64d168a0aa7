package proto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the hex of the vectors that have a diagnostic notation")

// reasons maps the words of "expect: refused ..." (PROTOCOL.md section 16) to
// what an error of this package says. Words that it does not tell apart share
// a text.
var reasons = map[string][]string{
	"truncated":     {"truncated"},
	"malformed":     {"malformed"},
	"trailing":      {"trailing bytes"},
	"type":          {"expected ", "of type"},
	"kinds":         {"exactly one kind"},
	"unknown-kind":  {"unknown kind"},
	"unknown-field": {"unknown field"},
	"duplicate":     {"is there twice", "duplicate map key"},
	"indefinite":    {"indefinite"},
	"tag":           {"tags are not used"},
	"utf8":          {"not UTF-8"},
	"missing":       {"is missing"},
	"value":         {"is not between", "are not between", "unknown value", "unknown code", "bad character", "a signal", "index", "allowed are", "signature of"},
	"oversized":     {"exceed", "allowed are", "are not between", "too long"},
	"version":       {"another version"},
	"mode":          {"not speak mode"},
	"user":          {"user name"},
}

// A vector is one entry of a file of testdata/vectors.
type vector struct {
	name string
	keys map[string]string
}

func (v *vector) key(t *testing.T, name string) string {
	t.Helper()
	value, ok := v.keys[name]
	if !ok {
		t.Fatalf("no key %q", name)
	}
	return value
}

// bytes expands hex with white space and repetitions such as 61*1024.
func (v *vector) bytes(t *testing.T, name string) []byte {
	t.Helper()
	b, err := expandHex(v.key(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func expandHex(s string) ([]byte, error) {
	var out []byte
	for _, word := range strings.Fields(s) {
		digits, times, repeated := strings.Cut(word, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out, nil
}

// vectors reads all files, in the format of txtar.
func vectors(t testing.TB) map[string][]*vector {
	files, err := filepath.Glob("testdata/vectors/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	all := make(map[string][]*vector)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			text = updateHex(t, string(text))
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		base := strings.TrimSuffix(filepath.Base(file), ".txtar")
		all[base] = parseVectors(t, string(text))
	}
	return all
}

func parseVectors(t testing.TB, text string) (list []*vector) {
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		name, isMarker := strings.CutPrefix(line, "-- ")
		switch {
		case isMarker:
			list = append(list, &vector{strings.TrimSuffix(name, " --"), map[string]string{}})
		case len(list) == 0, line == "", line[0] == '#':
		case line[0] == ' ':
			list[len(list)-1].keys[last] += line
		default:
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				t.Fatalf("not a key: %q", line)
			}
			last = key
			list[len(list)-1].keys[key] = strings.TrimSpace(value)
		}
	}
	return list
}

// updateHex writes a hex line after every diag line, in place of the one there.
func updateHex(t testing.TB, text string) []byte {
	var out strings.Builder
	entries := strings.Split(text, "\n-- ")
	for i, entry := range entries {
		if before, diag, ok := strings.Cut(entry, "\ndiag: "); ok {
			diag, _, _ = strings.Cut(diag, "\nhex: ")
			b, err := encodeDiag(strings.TrimRight(diag, "\n"))
			if err != nil {
				t.Fatalf("%s: %v", entry, err)
			}
			entry = before + "\ndiag: " + strings.TrimRight(diag, "\n") + "\nhex:" + hexLines(b)
			if i == len(entries)-1 {
				entry += "\n"
			}
		}
		if i > 0 {
			out.WriteString("\n-- ")
		}
		out.WriteString(entry)
	}
	return []byte(out.String())
}

func hexLines(b []byte) string {
	var out strings.Builder
	for chunk := range slices.Chunk(b, 40) {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, " %x", chunk)
	}
	return out.String()
}

func TestVectors(t *testing.T) {
	for file, list := range vectors(t) {
		for _, v := range list {
			t.Run(file+"/"+v.name, func(t *testing.T) {
				switch parse := v.key(t, "parse"); parse {
				case "message":
					testMessageVector(t, v)
				case "frames":
					testFramesVector(t, v)
				case "auth":
					testAuthVector(t, v)
				case "auth-result":
					testAuthResultVector(t, v)
				default:
					t.Fatalf("parse: %s", parse)
				}
			})
		}
	}
}

// checkExpected compares an error with the "expect" key, and reports whether
// the vector is a good one.
func checkExpected(t *testing.T, v *vector, err error) bool {
	t.Helper()
	expect := v.key(t, "expect")
	reason, refused := strings.CutPrefix(expect, "refused ")
	switch {
	case expect == "ok" && err == nil:
		return true
	case expect == "eof" && err == io.EOF, expect == "truncated" && err == io.ErrUnexpectedEOF:
		return false
	case !refused || err == nil:
		t.Fatalf("got error %v, expected %s", err, expect)
	case len(reasons[reason]) == 0:
		t.Fatalf("unknown reason %q", reason)
	}
	if !slices.ContainsFunc(reasons[reason], func(s string) bool { return strings.Contains(err.Error(), s) }) {
		t.Fatalf("refused because of %q, expected %s", err, reason)
	}
	return false
}

func testMessageVector(t *testing.T, v *vector) {
	body := v.bytes(t, "hex")
	if diag, ok := v.keys["diag"]; ok {
		if want, err := encodeDiag(diag); err != nil || !bytes.Equal(want, body) {
			t.Fatalf("the notation says %x, %v", want, err)
		}
	}
	m, err := Decode(body)
	if !checkExpected(t, v, err) {
		if _, ok := errors.AsType[*FrameError](err); !ok {
			t.Fatalf("%T is not a FrameError", err)
		}
		return
	}
	want := body
	if _, ok := v.keys["again"]; ok {
		want = v.bytes(t, "again")
	}
	frame, err := Append(nil, m)
	if err != nil || !bytes.Equal(frame[4:], want) {
		t.Fatalf("encoded again it is\n%x, %v; want\n%x", frame, err, want)
	}
	if len(body) <= 4<<10 {
		for n := range body {
			if _, err := Decode(body[:n]); err == nil {
				t.Fatalf("the first %d bytes were taken", n)
			}
		}
	}
	if m.Exec != nil {
		if code, _ := m.Exec.Check(); string(code) != v.keys["check"] {
			t.Errorf("Check says %q, want %q", code, v.keys["check"])
		}
	}
}

func testFramesVector(t *testing.T, v *vector) {
	most, err := strconv.Atoi(v.key(t, "max"))
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(v.bytes(t, "hex")), most)
	var kinds []string
	for {
		var m *Message
		if m, err = r.Next(); err != nil {
			break
		}
		kinds = append(kinds, m.Kind())
	}
	if got := strings.Join(kinds, " "); got != v.key(t, "messages") {
		t.Errorf("messages %q", got)
	}
	checkExpected(t, v, err)
}

// expandText expands a value such as a*255.
func expandText(s string) string {
	if text, times, ok := strings.Cut(s, "*"); ok {
		n, _ := strconv.Atoi(times)
		return strings.Repeat(text, n)
	}
	return s
}

func testAuthVector(t *testing.T, v *vector) {
	frame := v.bytes(t, "hex")
	a, err := ReadAuth(bytes.NewReader(frame))
	if !checkExpected(t, v, err) {
		if refused, ok := errors.AsType[*AuthError](err); ok && refused.Code.String() != v.key(t, "code") {
			t.Errorf("answered with %v", refused.Code)
		}
		return
	}
	want := &Auth{Mode: AuthPeer, User: expandText(v.key(t, "user")), Ext: v.bytes(t, "ext")}
	if mode, ok := v.keys["mode"]; ok {
		n, _ := strconv.Atoi(mode)
		want.Mode = AuthMode(n)
	}
	if list, ok := v.keys["keys"]; ok {
		for word := range strings.SplitSeq(list, "|") {
			key, err := expandHex(word)
			if err != nil {
				t.Fatal(err)
			}
			want.Keys = append(want.Keys, key)
		}
	}
	if _, ok := v.keys["signature"]; ok {
		want.Signature = v.bytes(t, "signature")
	}
	if diff := cmp.Diff(want, a, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if again, err := a.Append(nil); err != nil || !bytes.Equal(again, frame) {
		t.Errorf("encoded again it is %x, %v", again, err)
	}
}

func testAuthResultVector(t *testing.T, v *vector) {
	frame := v.bytes(t, "hex")
	r, err := ReadAuthResult(bytes.NewReader(frame))
	if !checkExpected(t, v, err) {
		return
	}
	index, _ := strconv.Atoi(v.key(t, "index"))
	if r.Code.String() != v.key(t, "code") || int(r.Index) != index ||
		r.Text != expandText(v.key(t, "text")) || !bytes.Equal(r.Ext, v.bytes(t, "ext")) {
		t.Errorf("got %+v", r)
	}
	if again, err := r.Append(nil); err != nil || !bytes.Equal(again, frame) {
		t.Errorf("encoded again it is %x, %v", again, err)
	}
}
