package proto

import "testing"

func BenchmarkAppendExec(b *testing.B) {
	m := &Message{Exec: typicalExec()}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		frame, err := Append(buf, m)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(frame)))
	}
}

func BenchmarkDecodeExec(b *testing.B) {
	benchmarkDecode(b, &Message{Exec: typicalExec()})
}

func BenchmarkDecodeEnded(b *testing.B) {
	benchmarkDecode(b, &Message{Ended: &Ended{How: HowExited, Output: OutputComplete, StdoutBytes: 1 << 30, StartedAt: 1 << 60, EndedAt: 1 << 60}})
}

// BenchmarkDecodeLargeExec is 100,000 arguments.
func BenchmarkDecodeLargeExec(b *testing.B) {
	e := typicalExec()
	for len(e.Argv) < 100_000 {
		e.Argv = append(e.Argv, []byte("argument"))
	}
	benchmarkDecode(b, &Message{Exec: e})
}

func benchmarkDecode(b *testing.B, m *Message) {
	body := mustAppend(b, m)[4:]
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckShape is the part of Decode that no byte gets past.
func BenchmarkCheckShape(b *testing.B) {
	body := mustAppend(b, &Message{Exec: typicalExec()})[4:]
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := checkShape(body); err != nil {
			b.Fatal(err)
		}
	}
}
