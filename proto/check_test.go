package proto

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKind(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range samples() {
		if kindNamed(m.Kind()) == nil {
			t.Errorf("%q is not a kind", m.Kind())
		}
		seen[m.Kind()] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("samples are of %d kinds, there are %d", len(seen), len(kinds))
	}
	for _, m := range []*Message{{}, {Bye: &Bye{}, Hello: &Hello{}}} {
		if m.Kind() != "" {
			t.Errorf("%+v is %q", m, m.Kind())
		}
	}
}

func TestExecCheck(t *testing.T) {
	full := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	list := func(n, each int) [][]byte { return slices.Repeat([][]byte{full(each)}, n) }
	env := func(n, each int) [][]byte { return slices.Repeat([][]byte{append([]byte("A="), full(each-2)...)}, n) }
	argv := byteStrings("true")
	for _, tt := range []struct {
		name   string
		change Exec
		want   Code
	}{
		{"login shell", Exec{}, ""},
		{"argv", Exec{Argv: argv}, ""},
		{"line", Exec{Line: []byte("ls")}, ""},
		{"empty line", Exec{Line: []byte{}}, ""},
		{"subsystem", Exec{Subsystem: []byte("sftp")}, ""},
		{"bytes", Exec{Argv: byteStrings("echo", "", "\xff", "a\nb"), Env: byteStrings("\xff=\xff", "A=", "A=B=C"), Dir: []byte("\xff")}, ""},
		{"path", Exec{Argv: byteStrings("-sh"), Path: []byte("/bin/sh")}, ""},
		{"path and no name", Exec{Argv: byteStrings(""), Path: []byte("/bin/sh")}, ""},
		{"streams", Exec{Stdin: 5, Stdout: 7, Stderr: 9}, ""},
		{"one pipe", Exec{Stdout: 7, Stderr: 7}, ""},
		{"terminal", Exec{Term: &Term{Name: "xterm"}, Stdin: 5, Stdout: 7}, ""},

		{"argv and line", Exec{Argv: argv, Line: []byte("ls")}, CodeInvalid},
		{"argv and empty line", Exec{Argv: argv, Line: []byte{}}, CodeInvalid},
		{"argv and subsystem", Exec{Argv: argv, Subsystem: []byte("sftp")}, CodeInvalid},
		{"line and subsystem", Exec{Line: []byte("ls"), Subsystem: []byte("sftp")}, CodeInvalid},
		{"empty argv", Exec{Argv: [][]byte{}}, CodeInvalid},
		{"empty argv and path", Exec{Argv: [][]byte{}, Path: []byte("/bin/sh")}, CodeInvalid},
		{"empty program", Exec{Argv: byteStrings("", "a")}, CodeInvalid},
		{"path alone", Exec{Path: []byte("/bin/sh")}, CodeInvalid},
		{"path and line", Exec{Path: []byte("/bin/sh"), Line: []byte("ls")}, CodeInvalid},
		{"empty subsystem", Exec{Subsystem: []byte{}}, CodeInvalid},
		{"stderr beside a terminal", Exec{Term: &Term{}, Stdout: 5, Stderr: 7}, CodeInvalid},
		{"stderr as stdout beside a terminal", Exec{Term: &Term{}, Stdout: 5, Stderr: 5}, CodeInvalid},
		{"NUL in argv", Exec{Argv: byteStrings("a", "b\x00")}, CodeInvalid},
		{"NUL in path", Exec{Argv: argv, Path: []byte("\x00")}, CodeInvalid},
		{"NUL in line", Exec{Line: []byte("a\x00b")}, CodeInvalid},
		{"NUL in subsystem", Exec{Subsystem: []byte("\x00")}, CodeInvalid},
		{"NUL in env", Exec{Env: byteStrings("A=\x00")}, CodeInvalid},
		{"NUL in dir", Exec{Dir: []byte("/\x00")}, CodeInvalid},
		{"NUL in terminal", Exec{Term: &Term{Name: "x\x00"}}, CodeInvalid},
		{"terminal not UTF-8", Exec{Term: &Term{Name: "\xff"}}, CodeInvalid},
		{"env without =", Exec{Env: byteStrings("A")}, CodeInvalid},
		{"env without name", Exec{Env: byteStrings("=A")}, CodeInvalid},
		{"empty env entry", Exec{Env: byteStrings("")}, CodeInvalid},

		{"stdin is stdout", Exec{Stdin: 5, Stdout: 5}, CodeBadStream},
		{"stdin is stderr", Exec{Stdin: 5, Stderr: 5}, CodeBadStream},
		{"status is stdin", Exec{Stdin: 3}, CodeBadStream},
		{"status is stdout", Exec{Stdout: 3}, CodeBadStream},
		{"status is stderr", Exec{Stderr: 3}, CodeBadStream},
		{"status is both", Exec{Stdout: 3, Stderr: 3}, CodeBadStream},

		{"longest dir", Exec{Dir: full(MaxPath)}, ""},
		{"dir", Exec{Dir: full(MaxPath + 1)}, CodeInvalid},
		{"longest path", Exec{Argv: argv, Path: full(MaxPath)}, ""},
		{"path too long", Exec{Argv: argv, Path: full(MaxPath + 1)}, CodeInvalid},
		{"longest subsystem", Exec{Subsystem: full(MaxName)}, ""},
		{"subsystem too long", Exec{Subsystem: full(MaxName + 1)}, CodeInvalid},
		{"longest line", Exec{Line: full(MaxString)}, ""},
		{"line too long", Exec{Line: full(MaxString + 1)}, CodeTooBig},
		{"longest argument", Exec{Argv: list(1, MaxString)}, ""},
		{"argument too long", Exec{Argv: list(1, MaxString+1)}, CodeTooBig},
		{"longest variable", Exec{Env: env(1, MaxString)}, ""},
		{"variable too long", Exec{Env: env(1, MaxString+1)}, CodeTooBig},
		{"most arguments", Exec{Argv: list(MaxEntries, 1)}, ""},
		{"too many arguments", Exec{Argv: list(MaxEntries+1, 1)}, CodeTooBig},
		{"too many variables", Exec{Env: env(MaxEntries+1, 2)}, CodeTooBig},
		{"all the bytes", Exec{Argv: list(16, 64<<10-EntryCost), Env: env(16, 64<<10-EntryCost)}, ""},
		{"one byte more", Exec{Argv: list(16, 64<<10-EntryCost), Env: append(env(15, 64<<10-EntryCost), env(1, 64<<10-EntryCost+1)...)}, CodeTooBig},
		{"the line counts", Exec{Env: env(32, 64<<10-EntryCost), Line: []byte("l")}, CodeTooBig},
		{"all the entries", Exec{Argv: list(MaxEntries/2, 8), Env: env(MaxEntries/2, 8)}, ""},
		{"all the entries and a byte", Exec{Argv: list(MaxEntries/2, 8), Env: append(env(MaxEntries/2-1, 8), env(1, 9)...)}, CodeTooBig},
	} {
		e := tt.change
		e.ID = 1
		e.Status = 3
		code, msg := e.Check()
		if code != tt.want || (code == "") != (msg == "") {
			t.Errorf("%s: %q %q, want %q", tt.name, code, msg, tt.want)
		}
		if code != "" {
			continue
		}
		if _, err := Append(nil, &Message{Exec: &e}); err != nil {
			t.Errorf("%s: passes but does not fit: %v", tt.name, err)
		}
	}
}

// TestExecCheckPassed: with descriptors each that came is named, and no other.
func TestExecCheckPassed(t *testing.T) {
	for _, tt := range []struct {
		name string
		exec Exec
		n    int
		want Code
	}{
		{"none", Exec{}, 0, ""},
		{"all three", Exec{Stdin: 1, Stdout: 2, Stderr: 3}, 3, ""},
		{"one for all", Exec{Stdin: 1, Stdout: 1, Stderr: 1}, 1, ""},
		{"stderr alone", Exec{Stderr: 1}, 1, ""},
		{"files", Exec{Stdin: 2, Files: []uint32{3, 1, 1}}, 3, ""},
		{"as many as there may be", Exec{Files: slices.Repeat([]uint32{1}, MaxFiles)}, 1, ""},
		{"one missing", Exec{Stdin: 1, Stdout: 2}, 1, CodeBadStream},
		{"a file missing", Exec{Files: []uint32{2}}, 1, CodeBadStream},
		{"none came", Exec{Stdin: 1}, 0, CodeBadStream},
		{"one too many", Exec{Stdin: 1}, 2, CodeBadStream},
		{"all too many", Exec{}, 1, CodeBadStream},
		{"far beyond", Exec{Stdin: 1<<32 - 1}, 1, CodeBadStream},
		{"file zero", Exec{Files: []uint32{0}}, 0, CodeBadStream},
		{"terminal", Exec{Term: &Term{}, Stdin: 1}, 1, CodeInvalid},
		{"status", Exec{Status: 3}, 0, CodeInvalid},
		{"kept", Exec{Stdin: 1, Orphan: OrphanKeep}, 1, CodeUnsupported},
		{"not kept", Exec{Stdin: 1, Orphan: OrphanKill}, 1, ""},
		{"form", Exec{Argv: byteStrings("a"), Line: []byte("a")}, 0, CodeInvalid},
		{"strings", Exec{Line: []byte("\x00")}, 0, CodeInvalid},
	} {
		if code, msg := tt.exec.CheckPassed(tt.n); code != tt.want || (code == "") != (msg == "") {
			t.Errorf("%s: %q %q, want %q", tt.name, code, msg, tt.want)
		}
	}
	files := Exec{Status: 3, Files: []uint32{1}}
	if code, _ := files.Check(); code != CodeUnsupported {
		t.Errorf("files in a session: %q", code)
	}
}

// TestWhatPassesFits: nothing that Check lets pass may end the session.
func TestWhatPassesFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genExec(t)
		if code, _ := e.Check(); code != "" {
			return
		}
		if _, err := Append(nil, &Message{Exec: e}); err != nil {
			t.Fatal(err)
		}
	})
	modes := make(map[string]uint32)
	for i := range MaxModes {
		modes[strings.Repeat("m", MaxWord-2)+string(rune('a'+i/26))+string(rune('a'+i%26))] = 1<<32 - 1
	}
	timeout := uint64(1<<63 - 1)
	largest := &Exec{
		ID: timeout, Status: 1, Stdin: 1<<32 - 1, Stdout: 1<<32 - 2, Drain: &timeout, Timeout: timeout, Orphan: OrphanKeep,
		Dir: make([]byte, MaxPath), Path: make([]byte, MaxPath), Term: &Term{Name: strings.Repeat("x", MaxTermName), Modes: modes},
		Argv: slices.Repeat([][]byte{make([]byte, 1)}, MaxEntries), Env: slices.Repeat([][]byte{[]byte("A=" + strings.Repeat("b", 100_000))}, 9),
	}
	for _, s := range append(largest.Argv, largest.Dir, largest.Path) {
		copy(s, bytes.Repeat([]byte("x"), len(s)))
	}
	if code, msg := largest.Check(); code != "" {
		t.Fatal(code, msg)
	}
	mustAppend(t, &Message{Exec: largest})
}
