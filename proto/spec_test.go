package proto

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func readSpec(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// specSection returns the text from a heading to the next one.
func specSection(t *testing.T, spec, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(spec, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	return text
}

// TestSpecTables compares the tables of fields in PROTOCOL.md with those of
// kinds.go, row by row.
func TestSpecTables(t *testing.T) {
	spec := readSpec(t)
	for i, k := range kinds {
		compareTable(t, spec, fmt.Sprintf("### 8.%d `%s`", i+1, k.name), k.fields)
	}
	compareTable(t, spec, "#### 8.2.2 `term`", termFields)
	compareTable(t, spec, "#### 8.6.1 `signal`", signalInfoFields)
}

func compareTable(t *testing.T, spec, heading string, fields []field) {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z ]+) \\| (yes|no) \\|([^|]*)\\|")
	rows := row.FindAllStringSubmatch(specSection(t, spec, heading), -1)
	if len(rows) != len(fields) {
		t.Errorf("%s: %d rows, %d fields", heading, len(rows), len(fields))
		return
	}
	for i, f := range fields {
		required := map[bool]string{true: "yes", false: "no"}[f.required]
		want := []string{f.name, typeNames[f.typ], required, limitText(f)}
		for j, cell := range rows[i][1:] {
			if cell = strings.TrimSpace(cell); cell != want[j] {
				t.Errorf("%s: %s: the specification says %q, the code %q", heading, f.name, cell, want[j])
			}
		}
	}
}

var typeNames = map[fieldType]string{
	typeUint: "uint", typeBool: "bool", typeText: "text", typeBytes: "bytes", typeTexts: "list of text",
	typeBytesList: "list of bytes", typeUints: "list of uint", typeModes: "map of text to uint", typeMap: "map",
}

// limitText is the limit of a field in the specification's words.
func limitText(f field) string {
	elements := ""
	if f.count > 0 {
		elements = fmt.Sprintf("at most %d, ", f.count)
		if f.max != maxBytes {
			elements += "each "
		}
	}
	powers := map[uint64]string{math.MaxInt64: "2^63-1", math.MaxUint32: "2^32-1", math.MaxInt32: "2^31-1"}
	switch {
	case f.typ == typeBool:
		return ""
	case f.typ == typeMap && f.name == "term":
		return "section 8.2.2"
	case f.typ == typeMap:
		return "section 8.6.1"
	case f.oneOf != nil:
		return "`" + strings.Join(f.oneOf, "`, `") + "`"
	case f.max == maxBytes:
		return elements + "section 8.2.1"
	case f.typ == typeUints:
		return fmt.Sprintf("%s%d to %d", elements, f.min, f.max)
	case f.typ != typeUint:
		return fmt.Sprintf("%s%d to %d bytes", elements, f.min, f.max)
	case powers[f.max] != "":
		return fmt.Sprintf("%d to %s", f.min, powers[f.max])
	}
	return fmt.Sprintf("%d to %d", f.min, f.max)
}

// TestSpecExamples decodes every example, and wants one of each kind in the
// encoding that the specification recommends.
func TestSpecExamples(t *testing.T) {
	seen := map[string]bool{}
	blocks := regexp.MustCompile("(?s)```cbor-diag\n(.*?)```").FindAllStringSubmatch(readSpec(t), -1)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			body, err := encodeDiag(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Decode(body)
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			seen[m.Kind()] = true
			if string(mustAppend(t, m)[4:]) != string(body) {
				t.Errorf("not deterministic: %s", line)
			}
		}
	}
	if len(seen) != len(kinds) {
		t.Errorf("examples of %v", seen)
	}
}

// TestSpecLimits looks for every limit in the table of section 10.
func TestSpecLimits(t *testing.T) {
	section := specSection(t, readSpec(t), "## 10. Limits")
	for what, limit := range map[string]int{
		"AUTH, AUTH_RESULT": MaxAuth, "name of a user": MaxUser, "frame, frame of `exec`": MaxExecFrame,
		"`argv`, `env`": MaxEntries, "an entry of `argv` or `env`; `line`": MaxString,
		"bytes of `argv`, `env`, `line` and 8 for each entry": MaxExecBytes, "`path`, `dir`": MaxPath,
		"subsystem, capability, code": MaxName, "text for people": MaxText, "capabilities": MaxCaps,
		"name of a terminal": MaxTermName, "terminal modes": MaxModes, "name of a signal, of a mode": MaxWord,
		"`dropped_env`, with 8 for each name": MaxDroppedBytes, "commands running": MaxCommands,
		"commands without an answer before `hello`, after it": MaxPending,
		"time to end the streams of a command after its end":  int(CloseGrace.Seconds()),
	} {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(what) + ` \| (.*) \|$`).FindStringSubmatch(section)
		if row == nil || !regexp.MustCompile(`\b`+strconv.Itoa(limit)+`\b`).MatchString(row[1]) {
			t.Errorf("%s: %v, want %d", what, row, limit)
		}
	}
}

// TestSpecReferences: every section that a comment names exists.
func TestSpecReferences(t *testing.T) {
	spec := readSpec(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reference := regexp.MustCompile(`PROTOCOL\.md(?:\s|//)+sections? ([0-9.]*[0-9])(?: and ([0-9.]*[0-9]))?`)
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reference.FindAllStringSubmatch(string(source), -1) {
			for _, number := range m[1:] {
				if heading := regexp.MustCompile(`(?m)^#+ ` + regexp.QuoteMeta(number) + `\.? `); number != "" && !heading.MatchString(spec) {
					t.Errorf("%s: no section %s", file, number)
				}
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no references found")
	}
}
