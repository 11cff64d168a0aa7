package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// samples has one typical message of each kind.
func samples() []*Message {
	drain := uint64(0)
	return []*Message{
		{Hello: &Hello{Version: Version, Software: "rex", Caps: []string{"a"}, MaxCommands: 3, MaxFrame: MaxExecFrame}},
		{Exec: typicalExec()},
		{Exec: &Exec{
			ID: 1, Status: 3, Line: []byte("ls"), Drain: &drain, Orphan: OrphanKeep,
			Term: &Term{Name: "xterm", Rows: 24, Cols: 80, Modes: map[string]uint32{"echo": 1, "icanon": 0}},
		}},
		{Signal: &Signal{ID: 1, Name: "RTMIN+3", To: ToTree}},
		{Resize: &Resize{ID: 1, Rows: 24, Cols: 80}},
		{Started: &Started{PID: 4711, DroppedEnv: Names{"LD_PRELOAD", "\xff"}}},
		{Exited: &Exited{Signal: &SignalInfo{Number: 9, Name: "KILL"}}},
		{Ended: &Ended{
			How: HowSignaled, Signal: &SignalInfo{Number: 11, Name: "SEGV"}, Core: true,
			StdoutBytes: 1 << 40, EndedAt: 1700000000000000000, Output: OutputComplete,
		}},
		{Refused: &Refused{ID: 1, Code: CodeNotFound, Message: "nosuch"}},
		{Draining: &Draining{}},
		{Bye: &Bye{}},
	}
}

func typicalExec() *Exec {
	return &Exec{
		ID: 42, Argv: byteStrings("git", "upload-pack", "/srv/git/project.git"),
		Env: byteStrings("LANG=C.UTF-8", "GIT_PROTOCOL=version=2"), Dir: []byte("src"),
		Stdin: 171, Stdout: 173, Stderr: 175, Status: 169,
	}
}

func byteStrings(list ...string) (out [][]byte) {
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}

// mustAppend returns the frame of m.
func mustAppend(t testing.TB, m *Message) []byte {
	t.Helper()
	frame, err := Append(nil, m)
	if err != nil {
		t.Fatalf("%s: %v", m.Kind(), err)
	}
	return frame
}

// allocatedBy returns how many bytes f allocates.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage().Draw(t, "message")
		frame, err := Append([]byte("before"), m)
		if err != nil {
			t.Fatal(err)
		}
		body := frame[len("before")+4:]
		if n := binary.BigEndian.Uint32(frame[len("before"):]); int(n) != len(body) {
			t.Fatalf("length %d, %d bytes", n, len(body))
		}
		got, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatal(diff)
		}
		again, err := Append(nil, got)
		if err != nil || !bytes.Equal(again[4:], body) {
			t.Fatalf("encoded again it differs: %v", err)
		}
	})
}

func TestReaderOneByteAtATime(t *testing.T) {
	var stream []byte
	for _, m := range samples() {
		stream = append(stream, mustAppend(t, m)...)
	}
	r := NewReader(iotest.OneByteReader(bytes.NewReader(stream)), MaxExecFrame)
	for _, want := range samples() {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestReaderTruncatedAnywhere(t *testing.T) {
	for _, m := range samples() {
		frame := mustAppend(t, m)
		for n := 1; n < len(frame); n++ {
			r := NewReader(bytes.NewReader(frame[:n]), MaxExecFrame)
			got, err := r.Next()
			if got != nil || err != io.ErrUnexpectedEOF {
				t.Fatalf("%s cut at %d of %d: %v, %v", m.Kind(), n, len(frame), got, err)
			}
		}
	}
}

// TestDecodeTruncatedAnywhere cuts the item itself: a shorter frame with a
// right length must not pass for a smaller message.
func TestDecodeTruncatedAnywhere(t *testing.T) {
	for _, m := range samples() {
		body := mustAppend(t, m)[4:]
		for n := range body {
			if got, err := Decode(body[:n]); err == nil {
				t.Fatalf("%s cut at %d of %d: %+v", m.Kind(), n, len(body), got)
			}
		}
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	lost := errors.New("lost")
	frame := mustAppend(t, samples()[0])
	for _, n := range []int{0, 2, 4, len(frame) - 1} {
		r := NewReader(io.MultiReader(bytes.NewReader(frame[:n]), iotest.ErrReader(lost)), MaxFrame)
		if _, err := r.Next(); err != lost {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestReaderKeepsItsError(t *testing.T) {
	good := mustAppend(t, &Message{Bye: &Bye{}})
	r := NewReader(io.MultiReader(bytes.NewReader([]byte{0, 0, 0, 1, 0xf6}), bytes.NewReader(good)), MaxFrame)
	_, first := r.Next()
	_, again := r.Next()
	if _, ok := errors.AsType[*FrameError](first); !ok || again != first {
		t.Errorf("first %v, then %v", first, again)
	}
}

func TestReaderAnnouncedLengthCostsNothing(t *testing.T) {
	head := binary.BigEndian.AppendUint32(nil, MaxExecFrame)
	for _, came := range []int{0, 100, 10 << 10} {
		var err error
		used := allocatedBy(func() {
			r := NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(make([]byte, came))), MaxExecFrame)
			_, err = r.Next()
		})
		if err != io.ErrUnexpectedEOF || used > uint64(12<<10+4*came) {
			t.Errorf("%d bytes came: %v, %d bytes allocated", came, err, used)
		}
	}
}

// TestReaderLetsLargeBuffersGo bounds what an idle stream holds.
func TestReaderLetsLargeBuffersGo(t *testing.T) {
	large := mustAppend(t, &Message{Exec: &Exec{ID: 1, Status: 3, Line: make([]byte, 100_000)}})
	r := NewReader(bytes.NewReader(large), MaxExecFrame)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n := cap(r.buf); n > 4<<10 {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestDecodedSharesNoMemory(t *testing.T) {
	for _, m := range samples() {
		body := mustAppend(t, m)[4:]
		got, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = 'X'
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLargeExec(t *testing.T) {
	env := make([]byte, 100_000)
	copy(env, "A=")
	for name, e := range map[string]*Exec{
		"100,000 arguments": {ID: 1, Status: 3, Argv: slices.Repeat([][]byte{[]byte("argument")}, 100_000)},
		"1.9 MB":            {ID: 1, Status: 3, Argv: byteStrings("true"), Env: slices.Repeat([][]byte{env}, 19)},
		"131,071 bytes":     {ID: 1, Status: 3, Argv: [][]byte{make([]byte, MaxString)}},
	} {
		for _, s := range slices.Concat(e.Argv, e.Env) {
			for i, c := range s {
				if c == 0 {
					s[i] = 'x'
				}
			}
		}
		if code, msg := e.Check(); code != "" {
			t.Fatalf("%s: %s %s", name, code, msg)
		}
		frame := mustAppend(t, &Message{Exec: e})
		r := NewReader(bytes.NewReader(frame), MaxExecFrame)
		got, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(e, got.Exec) {
			t.Errorf("%s: came back different", name)
		}
		if _, err := NewReader(bytes.NewReader(frame), MaxFrame).Next(); err == nil {
			t.Errorf("%s: taken where no exec may come", name)
		}
	}
}

// TestDecodeIsBounded decodes what expands most: empty strings, a byte each on
// the wire and a slice header in memory.
func TestDecodeIsBounded(t *testing.T) {
	e := &Exec{ID: 1, Status: 3, Argv: slices.Repeat([][]byte{{}}, MaxEntries), Env: slices.Repeat([][]byte{{}}, MaxEntries)}
	body := mustAppend(t, &Message{Exec: e})[4:]
	var err error
	used := allocatedBy(func() { _, err = Decode(body) })
	if err != nil || used > 32*uint64(len(body)) {
		t.Errorf("%v, %d bytes allocated for %d", err, used, len(body))
	}
}

func TestAppendRefuses(t *testing.T) {
	ended := func(change func(*Ended)) *Message {
		e := &Ended{How: HowExited, Output: OutputComplete}
		change(e)
		return &Message{Ended: e}
	}
	for name, m := range map[string]*Message{
		"no kind":           {},
		"two kinds":         {Bye: &Bye{}, Draining: &Draining{}},
		"version 0":         {Hello: &Hello{}},
		"capability":        {Hello: &Hello{Version: 1, Caps: []string{"A b"}}},
		"too many caps":     {Hello: &Hello{Version: 1, Caps: slices.Repeat([]string{"a"}, MaxCaps+1)}},
		"exec without id":   {Exec: &Exec{Status: 3}},
		"file zero":         {Exec: &Exec{ID: 1, Files: []uint32{0}}},
		"too many files":    {Exec: &Exec{ID: 1, Files: slices.Repeat([]uint32{1}, MaxFiles+1)}},
		"id too large":      {Exec: &Exec{ID: math.MaxInt64 + 1, Status: 3}},
		"orphan":            {Exec: &Exec{ID: 1, Status: 3, Orphan: "nurse"}},
		"timeout":           {Exec: &Exec{ID: 1, Status: 3, Timeout: math.MaxUint64}},
		"too many entries":  {Exec: &Exec{ID: 1, Status: 3, Argv: make([][]byte, MaxEntries+1)}},
		"frame too large":   {Exec: &Exec{ID: 1, Status: 3, Line: make([]byte, MaxExecFrame)}},
		"terminal name":     {Exec: &Exec{ID: 1, Status: 3, Term: &Term{Name: "\xff"}}},
		"terminal mode":     {Exec: &Exec{ID: 1, Status: 3, Term: &Term{Modes: map[string]uint32{"": 1}}}},
		"signal name":       {Signal: &Signal{ID: 1, Name: "term"}},
		"no signal name":    {Signal: &Signal{ID: 1}},
		"target":            {Signal: &Signal{ID: 1, Name: "TERM", To: "all"}},
		"resize without id": {Resize: &Resize{}},
		"pid":               {Started: &Started{PID: math.MaxUint32}},
		"exit code":         {Exited: &Exited{Code: 256}},
		"how":               ended(func(e *Ended) { e.How = "" }),
		"output":            ended(func(e *Ended) { e.Output = "" }),
		"ended code":        ended(func(e *Ended) { e.Code = 256 }),
		"signal 0":          ended(func(e *Ended) { e.How, e.Signal = HowKilled, &SignalInfo{} }),
		"exited by signal":  ended(func(e *Ended) { e.Signal = &SignalInfo{Number: 9} }),
		"signaled by none":  ended(func(e *Ended) { e.How = HowSignaled }),
		"refusal's code":    {Refused: &Refused{ID: 1}},
		"refusal's id":      {Refused: &Refused{Code: CodeBusy}},
	} {
		dst, err := Append([]byte("before"), m)
		if _, ok := errors.AsType[*FrameError](err); !ok || string(dst) != "before" {
			t.Errorf("%s: %q, %v", name, dst, err)
		}
		var out bytes.Buffer
		if Write(&out, m) == nil || out.Len() > 0 {
			t.Errorf("%s: written", name)
		}
	}
}

// TestAppendMendsTexts: what people read must never keep a message from
// leaving.
func TestAppendMendsTexts(t *testing.T) {
	message := func(text string) string {
		t.Helper()
		m := &Message{Refused: &Refused{ID: 1, Code: CodeNotFound, Message: text}}
		got, err := Decode(mustAppend(t, m)[4:])
		if err != nil {
			t.Fatal(err)
		}
		if m.Refused.Message != text {
			t.Error("the caller's message was changed")
		}
		return got.Refused.Message
	}
	long := strings.Repeat("x", MaxText-1)
	for text, want := range map[string]string{
		"caf\xe9: no such file":           "caf?: no such file",
		long + "x":                        long + "x",
		long + "xy":                       long + "x",
		long + "é":                        long,
		strings.Repeat("€", MaxText):      strings.Repeat("€", MaxText/3),
		strings.Repeat("\x80", 2*MaxText): "?",
	} {
		if got := message(text); got != want {
			t.Errorf("%.20q... became %q", text, got)
		}
	}
	hello := &Message{Hello: &Hello{Version: 1, Software: long + "\xff\xff"}}
	if got, err := Decode(mustAppend(t, hello)[4:]); err != nil || got.Hello.Software != long+"?" {
		t.Errorf("software: %v", err)
	}
}

func TestAppendFitsDroppedEnv(t *testing.T) {
	name := strings.Repeat("N", 1000)
	dropped := append(slices.Repeat(Names{name}, 100), strings.Repeat("L", MaxString), "LAST")
	m := &Message{Started: &Started{PID: 1, DroppedEnv: dropped}}
	got, err := Decode(mustAppend(t, m)[4:])
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Repeat(Names{name}, MaxDroppedBytes/(1000+EntryCost)), "LAST")
	if diff := cmp.Diff(want, got.Started.DroppedEnv); diff != "" {
		t.Error(diff)
	}
	if len(m.Started.DroppedEnv) != 102 {
		t.Error("the caller's list was changed")
	}
	many := slices.Repeat(Names{""}, 2*MaxDroppedBytes)
	if _, err := Append(nil, &Message{Started: &Started{PID: 1, DroppedEnv: many}}); err != nil {
		t.Error(err)
	}
}

// TestAppendNil: nil and empty are the same on the wire where the specification
// says so, and not where it does not.
func TestAppendNil(t *testing.T) {
	for _, m := range []*Message{
		{Hello: &Hello{Version: 1}},
		{Exec: &Exec{ID: 1, Status: 3, Argv: [][]byte{nil}}},
		{Exec: &Exec{ID: 1, Status: 3, Term: &Term{}}},
	} {
		if _, err := Decode(mustAppend(t, m)[4:]); err != nil {
			t.Errorf("%s: %v", m.Kind(), err)
		}
	}
	shell := mustAppend(t, &Message{Exec: &Exec{ID: 1, Status: 3}})
	for name, e := range map[string]*Exec{
		"argv":      {ID: 1, Status: 3, Argv: [][]byte{}},
		"line":      {ID: 1, Status: 3, Line: []byte{}},
		"subsystem": {ID: 1, Status: 3, Subsystem: []byte{}},
	} {
		if bytes.Equal(mustAppend(t, &Message{Exec: e}), shell) {
			t.Errorf("an empty %s became the login shell", name)
		}
	}
	if dir := (&Exec{ID: 1, Status: 3, Dir: []byte{}, Path: []byte{}}); !bytes.Equal(mustAppend(t, &Message{Exec: dir}), shell) {
		t.Error("an empty dir or path is on the wire")
	}
}

// oneWrite fails the test when it is written to more than once.
type oneWrite struct {
	data []byte
	n    int
}

func (w *oneWrite) Write(p []byte) (int, error) {
	w.n++
	w.data = append(w.data, p...)
	return len(p), nil
}

func TestWriteIsOneWrite(t *testing.T) {
	for _, m := range samples() {
		var w oneWrite
		if err := Write(&w, m); err != nil || w.n != 1 {
			t.Errorf("%s: %d writes, %v", m.Kind(), w.n, err)
		}
		if !bytes.Equal(w.data, mustAppend(t, m)) {
			t.Errorf("%s: not the frame", m.Kind())
		}
	}
	lost := errors.New("lost")
	r, w := io.Pipe()
	r.CloseWithError(lost)
	if err := Write(w, samples()[0]); err != lost {
		t.Errorf("the writer's error is %v", err)
	}
}

func TestFrameErrorsAreShort(t *testing.T) {
	evil := append([]byte{0xa1, 0x79, 0x03, 0xe8}, bytes.Repeat([]byte("\x1b"), 1000)...)
	_, err := Decode(append(evil, 0xa0))
	if err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}
